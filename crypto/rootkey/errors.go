package rootkey

import "errors"

var (
	// ErrMissing says that there is no root-key file at the path.
	ErrMissing = errors.New("rootkey: there is no root-key file")
	// ErrExists says that Create found something at the path.
	ErrExists = errors.New("rootkey: there is something already")
	// ErrBusy says that another process has the file open.
	ErrBusy = errors.New("rootkey: another process has the root-key file open")
	// ErrOtherLedger says that the file is another ledger's.
	ErrOtherLedger = errors.New("rootkey: the root-key file belongs to another ledger")
	// ErrFilesystem says that the file lies where overwriting in place cannot be
	// shown, so that an old key could survive there.
	ErrFilesystem = errors.New("rootkey: overwriting in place cannot be shown here")
	// ErrDamaged says that the file is not what this package left there.
	ErrDamaged = errors.New("rootkey: the root-key file is damaged")
	// ErrUnsettled says that Stage was called while the spare slot was not
	// cleared. Nothing was written.
	ErrUnsettled = errors.New("rootkey: the spare slot is not cleared")
	// ErrGeneration says that a call named a generation that it cannot apply to.
	// Nothing was written.
	ErrGeneration = errors.New("rootkey: wrong generation")
	// ErrUncertain says that writing failed or could not be confirmed, or had
	// failed before: what is on the disk is unknown. The file must be closed and
	// opened again, which finds out.
	ErrUncertain = errors.New("rootkey: what is on the disk is unknown: close the file and open it again")
)
