package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){
		"consentledger": main,
	})
}

// tidy removes what the tests have made for all of them together.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	defer func() {
		if bin := clockedOnce.path; bin != "" {
			_ = os.RemoveAll(filepath.Dir(bin))
		}
	}()
	code := m.M.Run()
	if code == 0 && !searchLeaks() {
		code = 1
	}
	return code
}

// TestTranscripts runs every transcript in testdata against the binary.
//
// Beside testscript's own commands they have those in scriptcmds_test.go,
// scriptserver_test.go and rows_cmds_test.go. The binary goes by the system's
// clock, unless the transcript begins with a clock of its own: clocked TIME.
func TestTranscripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Condition:           condition,
		Cmds:                rowCommands(),
	})
}

func setup(env *testscript.Env) error {
	// The file of the root key may lie on any filesystem here; what the
	// flag is for has a transcript of its own.
	env.Setenv("CONSENTLEDGER_ACCEPT_WEAK_ROOT", "true")
	env.Values[serversKey{}] = map[string]*background{}
	policies, err := filepath.Abs("../../testdata/policies")
	env.Setenv("POLICIES", policies)
	return err
}

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

func scriptCommands() map[string]scriptCommand {
	return map[string]scriptCommand{
		"rc":       cmdRC,
		"serve":    cmdServe,
		"halt":     cmdHalt,
		"call":     cmdCall,
		"paste":    cmdPaste,
		"keys":     cmdKeys,
		"capture":  cmdCapture,
		"tamper":   cmdTamper,
		"tmpfs":    cmdTmpfs,
		"remount":  cmdRemount,
		"fill":     cmdFill,
		"cut":      cmdCut,
		"consents": cmdConsents,
		"mode":     cmdMode,
		"kept":     cmdKept,
		"once":     cmdOnce,
	}
}

// condition answers [root] and [mount].
func condition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Getuid() == 0, nil
	case "mount":
		dir, err := os.MkdirTemp("", "mount-probe-")
		if err != nil {
			return false, err
		}
		defer os.Remove(dir)
		undo, err := mountTmpfs(dir, "64k")
		if err != nil {
			return false, nil
		}
		return true, undo()
	}
	return false, nil
}

// environ is the script's environment, for commands that are run from Go.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name == "GOCOVERDIR" {
			env = append(env, kv)
		}
	}
	for _, name := range []string{"ACCEPT_WEAK_ROOT", "DIR", "ROOT", "LISTEN", "ALLOW_PLAINTEXT", "TEST_CLOCK"} {
		if v := ts.Getenv("CONSENTLEDGER_" + name); v != "" {
			env = append(env, "CONSENTLEDGER_"+name+"="+v)
		}
	}
	return env
}

// command makes a process of the script's: its directory, its environment.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, args[0]); !strings.Contains(args[0], "/") {
			if info, err := os.Stat(p); err == nil && info.Mode()&0o111 != 0 {
				path = p
				break
			}
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = environ(ts)
	return cmd
}
