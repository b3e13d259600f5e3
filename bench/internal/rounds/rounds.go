// Package rounds compares two measurements on a machine that is not quiet: it
// takes them in turn, A B A B …, and looks at the ratio within each pair, which
// a slow spell of the machine changes little.
package rounds

import "slices"

// Pairs are measurements that were taken in turn.
type Pairs struct{ A, B []float64 }

// Interleave takes n measurements of each, in turn.
func Interleave(n int, a, b func() (float64, error)) (Pairs, error) {
	var p Pairs
	for range n {
		x, err := a()
		if err != nil {
			return p, err
		}
		y, err := b()
		if err != nil {
			return p, err
		}
		p.A, p.B = append(p.A, x), append(p.B, y)
	}
	return p, nil
}

// Ratio is the median of A/B over the pairs.
func (p Pairs) Ratio() float64 {
	r := make([]float64, len(p.A))
	for i := range r {
		r[i] = p.A[i] / p.B[i]
	}
	return Median(r)
}

// Median of at least one value; of an even number of them, the mean of the middle two.
func Median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
