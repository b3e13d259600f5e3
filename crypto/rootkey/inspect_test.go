package rootkey

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"
)

func TestWhoInspectsSeesTheGradeBesideWhoeverHasTheFile(t *testing.T) {
	path := temporary(t)
	places := []string{path}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() { // in memory: another grade
		shm, err := os.MkdirTemp("/dev/shm", "rootkey")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(shm) })
		places = append(places, shm+"/root.key")
	}
	for _, path := range places {
		f := mustCreate(t, path, 1)
		before := raw(t, path)
		grade, err := Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		if grade != f.Grade() {
			t.Errorf("%s, and who has it open says %s", grade, f.Grade())
		}
		if !bytes.Equal(before, raw(t, path)) {
			t.Error("the file was changed")
		}
		holds(t, f, 1)
		// It is still the other's: neither lock nor key was taken.
		do(t, f.Stage(2, key(t, 2)))
		do(t, f.Keep(2))
	}
}

func TestALinkIsNotInspected(t *testing.T) {
	path := temporary(t)
	if _, err := Inspect(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	mustCreate(t, path, 1)
	do(t, os.Symlink(path, path+".link"))
	if grade, err := Inspect(path + ".link"); err == nil {
		t.Errorf("the grade of a link is %s", grade)
	}
}
