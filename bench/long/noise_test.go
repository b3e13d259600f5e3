package main

import (
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestOwnTimeIncludesChildrenThatHaveEnded(t *testing.T) {
	before, err := own()
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done").Run(); err != nil {
		t.Skip("there is no shell to start:", err)
	}
	after, err := own()
	if err != nil || after-before < 20*time.Millisecond {
		t.Errorf("a loop of 300,000 turns took %v (error %v)", after-before, err)
	}
}

func TestTheShareOfOthersIsAShare(t *testing.T) {
	n, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	for time.Since(n.begin) < 100*time.Millisecond {
	}
	share, err := n.share(runtime.NumCPU())
	// Clock ticks are 10 ms, so a little over 1 can come out when others fill the machine.
	if err != nil || share < 0 || share > 1.2 {
		t.Errorf("share %v, error %v", share, err)
	}
}
