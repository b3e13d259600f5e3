package crashfs

import (
	"path/filepath"
	"slices"
)

// replay follows a record and knows, at each place of it, what is durable and
// what may or may not be on the disk.
type replay struct {
	rules Rules
	epoch int  // counts changes of what is durable
	mark  int  // counts marks
	names tree // durable
	now   tree // what the program sees
	files map[uint64][]byte
	tail  []step // the operations that are not in names and files yet, in order
	at    int    // place in the record
}

// step is an operation that may still be lost, or one behind such a one.
type step struct {
	Op
	index   int
	durable bool
	lost    bool // a failed fsync forgot it: no later one helps
	// of a rename between directories, those that were synced
	oldDir, newDir bool
}

func newReplay(r Rules) *replay {
	return &replay{
		rules: r,
		names: tree{map[string]bool{}, map[string]uint64{}},
		now:   tree{map[string]bool{}, map[string]uint64{}},
		files: map[uint64][]byte{},
	}
}

func (r *replay) add(op Op) {
	switch op.Kind {
	case Marked:
		r.mark++
	case Create, Mkdir, Unlink, Rename:
		if op.Kind == Rename {
			op.File = r.now.files[op.Path] // 0 for a directory
		}
		r.now.apply(op)
		r.tail = append(r.tail, step{Op: op, index: r.at})
	case Write, Truncate:
		r.tail = append(r.tail, step{Op: op, index: r.at})
	case Fsync, FsyncLost, FsyncDir:
		r.sync(op)
	}
	r.at++
}

// sync makes durable what an fsync covers.
func (r *replay) sync(op Op) {
	changed := false
	for i := range r.tail {
		s := &r.tail[i]
		if s.index >= op.Covers || s.durable {
			continue
		}
		switch op.Kind {
		case Fsync:
			s.durable = s.File == op.File && !s.lost && (isData(s.Kind) || r.rules.NamesWithFile)
		case FsyncLost:
			s.lost = s.lost || (s.File == op.File && isData(s.Kind))
		case FsyncDir:
			s.syncDir(op.Path)
		}
		changed = changed || s.durable
	}
	if changed {
		r.epoch++
		r.fold()
	}
}

// syncDir makes a change of names durable, one of two directories in both.
func (s *step) syncDir(dir string) {
	if isData(s.Kind) {
		return
	}
	s.oldDir = s.oldDir || filepath.Dir(s.Path) == dir
	s.newDir = s.newDir || s.Kind != Rename || filepath.Dir(s.NewPath) == dir
	s.durable = s.oldDir && s.newDir
}

func isData(k Kind) bool { return k == Write || k == Truncate }

// fold moves durable steps into names and files, as long as nothing that may
// be lost stands before them: a lost write under a durable one is not the
// same as one over it.
func (r *replay) fold() {
	held := map[uint64]bool{} // files; 0 for the names
	r.tail = slices.DeleteFunc(r.tail, func(s step) bool {
		on := s.File
		if !isData(s.Kind) {
			on = 0
		}
		if !s.durable || held[on] {
			held[on] = true
			return false
		}
		if on == 0 {
			r.names.apply(s.Op)
		} else {
			r.files[on] = change(r.files[on], s.Op, nil)
		}
		return true
	})
}

// pending returns the places in tail of what may be lost.
func (r *replay) pending() []int {
	var p []int
	for i := range r.tail {
		if !r.tail[i].durable {
			p = append(p, i)
		}
	}
	return p
}

// disk makes the disk on which, of what may be lost, there is what choose
// says: all, nothing, or some sectors of a write.
func (r *replay) disk(choose func(i int) part) *Disk {
	names := r.names.clone()
	files := map[uint64][]byte{} // those that differ from r.files
	for i, s := range r.tail {
		p := part{all: true}
		if !s.durable {
			p = choose(i)
		}
		switch {
		case !p.all && p.sectors == nil:
		case !isData(s.Kind):
			names.apply(s.Op)
		default:
			b, ok := files[s.File]
			if !ok {
				b = slices.Clone(r.files[s.File])
			}
			keep := p.sectors
			if p.all {
				keep = nil
			}
			files[s.File] = change(b, s.Op, keep)
		}
	}
	d := &Disk{dirs: map[string]bool{}, files: map[string][]byte{}}
	for p := range names.dirs {
		if names.reachable(p) {
			d.dirs[p] = true
		}
	}
	for p, file := range names.files {
		if !names.reachable(p) {
			continue
		}
		b, ok := files[file]
		if !ok {
			b = r.files[file] // shared: d lives no longer than the next operation
		}
		d.files[p] = b
	}
	return d
}

// part is how much of an operation is on the disk: nothing for the zero value.
type part struct {
	all     bool
	sectors func(int) bool
}
