package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// healthy are the facts of an installation of which nothing is unsafe.
func healthy() *facts {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	return &facts{
		now:       now,
		files:     []fileFact{{"/l/data", 0o700, 990}, {"/l/data/ledger.db", 0o600, 990}, {"/r/root.key", 0o600, 990}},
		users:     []uint32{990, 990},
		rootGrade: "overwritten-in-place/read-back-direct",
		lastEntry: now.Add(-time.Second),
		keys: []keyFact{
			{"key_a", "writer", now.Add(-364 * day), now.Add(-day)},
			{"key_b", "admin", now.Add(-90 * day), time.Time{}},
		},
		witnesses: []witnessFact{
			{"wit_a", "witness.example/a", time.Time{}},
			{"wit_b", "witness.example/b", now.Add(-59 * time.Minute)},
		},
		required:    1,
		free:        map[string]room{"/l/data": {100 << 30, 200 << 30}},
		minFree:     256 << 20,
		certExpires: now.Add(60 * day),
		tlsKey:      &fileFact{"/etc/tls.key", 0o600, 990},
	}
}

// ailments has for each finding what brings it about, and nothing else.
var ailments = map[string]func(f *facts){
	"file_open":            func(f *facts) { f.files[1].mode = 0o640 },
	"file_owner":           func(f *facts) { f.files[2].uid = 0 },
	"runs_as_root":         func(f *facts) { f.users = []uint32{990, 0} },
	"root_in_data":         func(f *facts) { f.rootInside, f.rootBeside = true, true },
	"root_same_disk":       func(f *facts) { f.rootBeside = true },
	"root_in_memory":       func(f *facts) { f.rootGrade = "memory" },
	"root_not_overwritten": func(f *facts) { f.rootGrade = "overwriting-not-shown/read-back-direct" },
	"root_read_back":       func(f *facts) { f.rootGrade = "overwritten-in-place/read-back-cached" },
	"clock_behind":         func(f *facts) { f.lastEntry = f.now.Add(61 * time.Second) },
	"clock_not_set":        func(f *facts) { f.unsynced = true },
	"swap":                 func(f *facts) { f.swaps = []string{"/dev/sda2"} },
	"disk_full":            func(f *facts) { f.free["/l/data"] = room{256<<20 - 1, 1 << 30} },
	"disk_fills":           func(f *facts) { f.free["/l/data"] = room{9 << 30, 200 << 30} },
	"not_opened":           func(f *facts) { f.notOpened = "the database is not the newest one" },
	"not_ready":            func(f *facts) { f.notReady = "read_only" },
	"core_dumps":           func(f *facts) { f.dumpable = true },
	"key_never_used":       func(f *facts) { f.keys[1].created = f.now.Add(-91 * day) },
	"key_idle":             func(f *facts) { f.keys[0].lastUsed = f.now.Add(-91 * day) },
	"key_old":              func(f *facts) { f.keys[0].created = f.now.Add(-366 * day) },
	"witness_away":         func(f *facts) { f.witnesses[1].awaySince = f.now.Add(-61 * time.Minute) },
	"witnesses_too_few":    func(f *facts) { f.witnesses[0].awaySince = f.now.Add(-61 * time.Minute); f.required = 2 },
	"no_tls":               func(f *facts) { f.open = "0.0.0.0:8787" },
	"tls_cert":             func(f *facts) { f.certError = "no such file" },
	"tls_cert_ends":        func(f *facts) { f.certExpires = f.now.Add(13 * day) },
	"tls_key_open":         func(f *facts) { f.tlsKey.mode = 0o644 },
}

func TestAHealthyInstallationHasNoFindings(t *testing.T) {
	if found := examine(healthy()); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	if found := examine(&facts{}); len(found) > 0 {
		t.Errorf("of nothing that is known: %+v", found)
	}
}

func TestEachAilmentIsFoundAndNoOther(t *testing.T) {
	for code, happens := range ailments {
		f := healthy()
		happens(f)
		found := examine(f)
		if len(found) != 1 || found[0].Code != code {
			t.Errorf("%s: found %+v", code, found)
			continue
		}
		if f := found[0]; f.Level != danger && f.Level != advice || len(f.What) < 15 || len(f.Remedy) < 8 {
			t.Errorf("%s says little: %+v", code, f)
		}
	}
	f := healthy()
	f.cores = true
	if found := examine(f); len(found) != 1 || found[0].Code != "core_dumps" {
		t.Errorf("core files: %+v", found)
	}
}

func TestTheDoctorsDocumentListsWhatItFinds(t *testing.T) {
	b, err := os.ReadFile("DOCTOR.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (danger|advice) \\|").FindAllStringSubmatch(string(b), -1) {
		listed[m[1]] = m[2]
	}
	src, err := os.ReadFile("doctor.go")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, m := range regexp.MustCompile(`add\((danger|advice), "([a-z_]+)"`).FindAllStringSubmatch(string(src), -1) {
		made[m[2]] = m[1]
	}
	for code, level := range made {
		if listed[code] != level {
			t.Errorf("%s is a %s, and DOCTOR.md says %q", code, level, listed[code])
		}
		if ailments[code] == nil {
			t.Errorf("no test brings %s about", code)
		}
	}
	for code := range listed {
		if made[code] == "" {
			t.Errorf("DOCTOR.md lists %s, which nothing finds", code)
		}
	}
	if len(made) != len(ailments) || len(made) < 20 {
		t.Errorf("%d findings, %d tried", len(made), len(ailments))
	}
}

func TestARemedyCanBePasted(t *testing.T) {
	f := healthy()
	f.files[1] = fileFact{"/l/it's here/$(reboot)", 0o666, 990}
	if found := examine(f); len(found) != 1 || !strings.HasPrefix(found[0].Remedy, `chmod go= '/l/it'\''s here/$(reboot)';`) {
		t.Errorf("%+v", found)
	}
}

func TestOnlyWhatIsInDangerMakesAnInstallationUnsafe(t *testing.T) {
	safe := 0
	for code, happens := range ailments {
		f := healthy()
		happens(f)
		d := diagnose(f)
		if d.Safe != (d.Findings[0].Level == advice) {
			t.Errorf("%s: safe %v, and it is a %s", code, d.Safe, d.Findings[0].Level)
		}
		if d.Safe {
			safe++
		}
	}
	if d := diagnose(healthy()); !d.Safe || safe == 0 || safe == len(ailments) {
		t.Errorf("healthy: %v; %d of %d are safe", d.Safe, safe, len(ailments))
	}
}
