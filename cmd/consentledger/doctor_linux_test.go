package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestSwapInMemoryOrEncryptedIsNone(t *testing.T) {
	const swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/zram0                              partition\t8388604\t\t0\t\t100\n" +
		"/dev/dm-1                               partition\t8388604\t\t0\t\t-2\n" +
		"/dev/dm-2                               partition\t8388604\t\t0\t\t-2\n" +
		"/dev/sda2                               partition\t8388604\t\t0\t\t-2\n" +
		"/swapfile                               file\t\t8388604\t\t0\t\t-3\n"
	uuids := map[string]string{"/dev/dm-1": "CRYPT-PLAIN-cryptswap\n", "/dev/dm-2": "LVM-abc\n"}
	got := swapsInTheClear(swaps, func(device string) string { return uuids[device] })
	if want := []string{"/dev/dm-2", "/dev/sda2", "/swapfile"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := swapsInTheClear("Filename Type Size Used Priority\n", nil); got != nil {
		t.Errorf("no swap: %v", got)
	}
}

func TestACgroupMayForbidSwapping(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const limit = "sys/fs/cgroup/system.slice/consentledger.service/memory.swap.max"
	for name, c := range map[string]struct {
		files fstest.MapFS
		pid   int
		want  bool
	}{
		"its own does":      {fstest.MapFS{"proc/7/cgroup": file("0::/system.slice/consentledger.service\n"), limit: file("0\n")}, 7, true},
		"one around it":     {fstest.MapFS{"proc/7/cgroup": file("0::/system.slice/consentledger.service\n"), limit: file("max\n"), "sys/fs/cgroup/system.slice/memory.swap.max": file("0\n")}, 7, true},
		"none does":         {fstest.MapFS{"proc/7/cgroup": file("0::/system.slice/consentledger.service\n"), limit: file("max\n")}, 7, false},
		"another's does":    {fstest.MapFS{"proc/7/cgroup": file("0::/other.slice\n"), limit: file("0\n")}, 7, false},
		"version 1":         {fstest.MapFS{"proc/7/cgroup": file("4:memory:/system.slice/consentledger.service\n"), limit: file("0\n")}, 7, false},
		"the root":          {fstest.MapFS{"proc/7/cgroup": file("0::/\n")}, 7, false},
		"no server":         {fstest.MapFS{"proc/0/cgroup": file("0::/system.slice/consentledger.service\n"), limit: file("0\n")}, 0, false},
		"it cannot be read": {fstest.MapFS{limit: file("0\n")}, 7, false},
	} {
		if got := neverSwapped(c.files, c.pid); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAProcessThatIsNotHardenedIsFoundToBe(t *testing.T) {
	look := func(as *syscall.Credential, args ...string) *facts {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		waitFor(t, "sleep", func() bool {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
			return string(b) == "sleep\n"
		})
		f := &facts{}
		f.lookMachine(cmd.Process.Pid)
		return f
	}
	var as *syscall.Credential
	if os.Getuid() == 0 { // of whom it cannot be told
		as = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if f := look(as, "sleep", "60"); !f.dumpable {
		t.Errorf("anybody's memory is found to be closed: %v", f.unknown)
	}
	if f := look(as, "sh", "-c", "ulimit -S -c 0; ulimit -H -c 0; exec sleep 60"); f.cores {
		t.Error("a process without core files is found to have some")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err == nil && limit.Max > 0 {
		if f := look(as, "sh", "-c", "ulimit -S -c "+"$(ulimit -H -c); exec sleep 60"); !f.cores {
			t.Error("a process that may leave a core file is not found to")
		}
	}
}

func TestTheServerAtTheOtherEndOfASocketIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if pid, uid, err := peer(conn); err != nil || pid != os.Getpid() || int(uid) != os.Getuid() {
		t.Errorf("process %d of user %d, %v", pid, uid, err)
	}
	tcp, _ := net.Pipe()
	if _, _, err := peer(tcp); err == nil {
		t.Error("the other end of a pipe is known")
	}
}
