// Package rootkey keeps the one secret on which everything else in a ledger's
// keyring hangs, in a file from which an old secret can be made to disappear.
//
// # Why in place
//
// Destroying a member's keys means replacing the root key, and it is done only
// when the old root key is gone from the disk. The usual safe way to replace a
// file, write another one and rename it over the first, leaves the old bytes
// behind in blocks that the filesystem calls free: in a raw image taken after
// twenty replacements, ext4 still showed all twenty old keys, XFS five. So the
// file is written once and then only ever overwritten where it lies, and never
// renamed, truncated or extended.
//
// # Why 4 KiB
//
// A write smaller than a filesystem block may be stored elsewhere first: ext4
// with inline_data keeps a small file inside its inode, whose block is journalled,
// and there all twenty old keys of 64 bytes each were found. Whole 4 KiB blocks of
// data are not journalled by ext4 in its ordered and writeback modes, nor by XFS,
// and after twenty replacements neither showed any. 4 KiB is also the sector that
// disks write at once, and the unit of direct I/O.
//
// # The file
//
// Two slots of 4096 bytes, and nothing else:
//
//	magic "clroot\n" [7] | version u8 = 1 | ledger id [16] | generation u64 BE | key [32] | SHA-256 of all before it [32] | zero bytes
//
// A cleared slot is 4096 zero bytes. Whatever is neither is torn: a write that
// was cut short. In between replacements one slot holds the current key and the
// other one is cleared. A replacement goes
//
//	Stage(g+1, key)   the spare slot is written whole, fsynced, read back
//	                  … the caller makes its own data durable under the new key …
//	Keep(g+1)         the other slot is overwritten with zeros, fsynced, read back
//
// so at every moment at least one slot holds a key that the caller's data can
// have, and a crash leaves one of few states: the old key alone; the old key and
// a torn or a complete new one; the new key and a torn old one; the new key alone.
// [Open] reports what is valid, the caller knows which generation its data has,
// and Keep of that generation clears whatever else there is. Nothing is
// overwritten before then.
//
// # What a grade says
//
// [File.Grade] says what is known of the destruction of an old key, and goes on
// certificates as it is:
//
//	overwritten-in-place/read-back-direct   the filesystem overwrites data where it lies; the blocks lay at the same
//	                                        place before and after; the zeros were read back past the page cache
//	overwritten-in-place/read-back-cached   the same, but the filesystem has no direct I/O, so the zeros that were
//	                                        read back may be those of the cache
//	overwriting-not-shown/read-back-…       the filesystem may have put the new bytes elsewhere and kept the old ones
//	memory                                  tmpfs or ramfs: no medium, but perhaps swap; gone at the next start of the machine
//
// The last two are refused unless [Options.AcceptWeak] is set. On Linux, ext2,
// ext3, ext4 and XFS overwrite in place, except where data is journalled (mount
// option, default in the superblock, or attribute of the file), kept inline,
// compressed or shared with a clone. All of that is looked for at Open; and what can
// change meanwhile, before each Stage and before and after each Keep. On other
// systems nothing can be shown.
//
// Even the best grade is what NIST SP 800-88 calls Clear, not Purge: below the
// filesystem a solid-state disk's translation layer, a RAID controller, a volume
// manager's snapshot or a hypervisor's disk image may keep old blocks, and nothing
// up here can see it. Prior art: Reardon, Basin, Capkun, "SoK: Secure Data
// Deletion", IEEE S&P 2013.
//
// # Losing the file
//
// Whoever loses the file loses everything that the ledger ever sealed; that is
// what it is for. It belongs in no backup of the data it protects: a copy of an old root
// key and a copy of the old data together give everything that was alive then.
package rootkey
