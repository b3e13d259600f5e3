package crashfs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Rules say what a file system promises and how many of the possible states
// to try. The zero value is POSIX: data is durable after an fsync of its file,
// a name after an fsync of its directory, and until then any part of it may be
// on the disk, in any order.
type Rules struct {
	// NamesWithFile makes an fsync of a file keep its name too, as ext4 does.
	NamesWithFile bool

	// Seed is for the random states, Random how many there are of them for
	// each cut (0 means 4).
	Seed   uint64
	Random int

	// Each is for how many of the unsynced operations to try each alone, each
	// missing and each torn (0 means 12): the first, and the last ones.
	Each int
}

// States calls f with the states in which a power cut after ops[:cut] can
// leave the disk, by the rules of POSIX. See Rules.States.
func States(ops []Op, cut int, f func(name string, d *Disk) error) error {
	return Rules{}.States(ops, cut, f)
}

// States calls f with the states in which a power cut after ops[:cut] can
// leave the disk: all that was not durable kept, or dropped; only the first
// or the last of it; only the names, or only the data; each operation alone,
// each missing; each write torn between its 512-byte sectors; random mixtures
// of all this. It stops at the first error of f and returns it with the name
// of the state.
func (r Rules) States(ops []Op, cut int, f func(name string, d *Disk) error) error {
	p := newReplay(r)
	for _, op := range ops[:cut] {
		p.add(op)
	}
	return p.states(map[string]bool{}, f)
}

// All does what States does for every cut of the record, and leaves out
// states that were tried before with as many marks behind them: what is to be
// expected of a state can only depend on the disk and on what was marked.
func (r Rules) All(ops []Op, f func(cut int, name string, d *Disk) error) error {
	p := newReplay(r)
	tried := map[string]bool{}
	for cut := 0; ; cut++ {
		epoch, mark := p.epoch, p.mark
		if err := p.states(tried, func(name string, d *Disk) error { return f(cut, name, d) }); err != nil {
			what := "at the beginning"
			if cut > 0 {
				what = fmt.Sprintf("after operation %d, %v", cut-1, ops[cut-1])
			}
			return fmt.Errorf("a power cut %s: %w", what, err)
		}
		if cut == len(ops) {
			return nil
		}
		p.add(ops[cut])
		if p.epoch != epoch || p.mark != mark {
			clear(tried)
		}
	}
}

// choice is a state: for each place in tail that may be lost, what of it is
// there. Its key tells states apart, by operation and not by place.
type choice struct {
	name string
	of   map[int]part
	key  map[int]string
}

func (r *replay) states(tried map[string]bool, f func(name string, d *Disk) error) error {
	for _, c := range r.choices() {
		var key strings.Builder
		for _, i := range r.pending() {
			if k := c.key[i]; k != "" {
				key.WriteString(strconv.Itoa(r.tail[i].index) + k + " ")
			}
		}
		if tried[key.String()] {
			continue
		}
		tried[key.String()] = true
		if err := f(c.name, r.disk(func(i int) part { return c.of[i] })); err != nil {
			return fmt.Errorf("state %q: %w", c.name, err)
		}
	}
	return nil
}

func (r *replay) choices() []choice {
	p := r.pending()
	var all []choice
	add := func(name string, is func(i int) (part, string)) {
		c := choice{name, map[int]part{}, map[int]string{}}
		for _, i := range p {
			c.of[i], c.key[i] = is(i)
		}
		all = append(all, c)
	}
	whether := func(name string, keep func(i int) bool) {
		add(name, func(i int) (part, string) {
			if keep(i) {
				return part{all: true}, "+"
			}
			return part{}, ""
		})
	}
	whether("all unsynced kept", func(int) bool { return true })
	if len(p) == 0 {
		return all
	}
	whether("all unsynced dropped", func(int) bool { return false })
	whether("only names", func(i int) bool { return !isData(r.tail[i].Kind) })
	whether("only data", func(i int) bool { return isData(r.tail[i].Kind) })
	for _, i := range r.each(p) {
		what := fmt.Sprintf("operation %d (%v)", r.tail[i].index, r.tail[i].Op)
		whether("only "+what, func(j int) bool { return j == i })
		whether("all but "+what, func(j int) bool { return j != i })
		n := sectors(r.tail[i].Op)
		if n < 2 {
			continue
		}
		rng := r.rng(uint64(r.tail[i].index))
		for _, t := range []struct {
			name string
			keep []bool
		}{
			{"first half of", slices.Concat(slices.Repeat([]bool{true}, n/2), make([]bool, n-n/2))},
			{"second half of", slices.Concat(make([]bool, n/2), slices.Repeat([]bool{true}, n-n/2))},
			{"some sectors of", randomBits(rng, n)},
		} {
			torn, key := tear(t.keep)
			add(t.name+" "+what+" and all others", func(j int) (part, string) {
				if j == i {
					return torn, key
				}
				return part{all: true}, "+"
			})
			add("only "+t.name+" "+what, func(j int) (part, string) {
				if j == i {
					return torn, key
				}
				return part{}, ""
			})
		}
	}
	r.random(p, add)
	return all
}

// random adds states in which each operation is kept, dropped or torn.
func (r *replay) random(p []int, add func(string, func(int) (part, string))) {
	if len(p) < 2 {
		return
	}
	n := r.rules.Random
	if n == 0 {
		n = 4
	}
	rng := r.rng(1<<32 + uint64(r.at))
	for k := range n {
		add(fmt.Sprintf("random %d", k), func(i int) (part, string) {
			switch rng.IntN(5) {
			case 0, 1:
				return part{all: true}, "+"
			case 2:
				if n := sectors(r.tail[i].Op); n > 1 {
					return tear(randomBits(rng, n))
				}
			}
			return part{}, ""
		})
	}
}

// each picks the operations to be tried one by one.
func (r *replay) each(p []int) []int {
	n := r.rules.Each
	if n == 0 {
		n = 12
	}
	if len(p) <= n {
		return p
	}
	return append([]int{p[0]}, p[len(p)-n+1:]...)
}

func (r *replay) rng(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(r.rules.Seed, stream))
}

// randomBits returns n bits that are neither all true nor all false.
func randomBits(rng *rand.Rand, n int) []bool {
	b := make([]bool, n)
	for i := range b {
		b[i] = rng.IntN(2) == 0
	}
	b[rng.IntN(n)] = true
	if !slices.Contains(b, false) {
		b[rng.IntN(n)] = false
	}
	return b
}

func tear(keep []bool) (part, string) {
	return part{sectors: func(i int) bool { return keep[i] }}, fmt.Sprint(keep)
}
