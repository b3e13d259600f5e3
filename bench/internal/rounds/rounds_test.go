package rounds

import (
	"errors"
	"testing"
)

func TestTheRatioIsTheMedianOfThoseWithinThePairs(t *testing.T) {
	// The machine is four times slower in the second pair and hiccups in the third.
	a, b := []float64{100, 25, 10}, []float64{200, 50, 200}
	i, j := 0, 0
	p, err := Interleave(3,
		func() (float64, error) { i++; return a[i-1], nil },
		func() (float64, error) { j++; return b[j-1], nil })
	if err != nil {
		t.Fatal(err)
	}
	if r := p.Ratio(); r != 0.5 {
		t.Errorf("the ratio is %v, want 0.5", r)
	}
}

func TestAMeasurementThatFailsEndsTheRounds(t *testing.T) {
	bad := errors.New("bad")
	n := 0
	_, err := Interleave(3, func() (float64, error) { n++; return 1, nil }, func() (float64, error) { return 0, bad })
	if !errors.Is(err, bad) || n != 1 {
		t.Errorf("error %v after %d rounds", err, n)
	}
}

func TestTheMedianOfAnEvenNumberIsTheMeanOfTheMiddleTwo(t *testing.T) {
	if m := Median([]float64{9, 1, 3, 5}); m != 4 {
		t.Errorf("median %v, want 4", m)
	}
}
