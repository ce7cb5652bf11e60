package inventory

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseKeep(t *testing.T) {
	for text, want := range map[string]Retention{
		"{}":                                {Hosts: KeepCanaries, Runs: 3, Age: 14 * day, Manifests: 10},
		"{hosts: canaries, age: 1h}":        {Hosts: KeepCanaries, Runs: 3, Age: time.Hour, Manifests: 10},
		"{hosts: all, age: 3650d}":          {Hosts: KeepAll, Runs: 3, Age: 3650 * day, Manifests: 10},
		"{runs: 1, manifests: 1000}":        {Hosts: KeepCanaries, Runs: 1, Age: 14 * day, Manifests: 1000},
		"{runs: 1000, age: 336h}":           {Hosts: KeepCanaries, Runs: 1000, Age: 14 * day, Manifests: 10},
		"{age: 1d12h, hosts: \"all\"}":      {Hosts: KeepAll, Runs: 3, Age: 36 * time.Hour, Manifests: 10},
		"{age: 1d}\nbatches: {timeout: 1d}": {Hosts: KeepCanaries, Runs: 3, Age: day, Manifests: 10},
	} {
		got, err := ParsePolicy("p.yaml", []byte("inventory: i.yaml\nkeep: "+text+"\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got.Retention); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, v := range []Verify{VerifyNone, VerifySample, VerifyAll} {
		if got, err := ParsePolicy("p.yaml", []byte("inventory: i.yaml\nverify: "+string(v)+"\n")); err != nil || got.Verify != v {
			t.Errorf("verify: %s gives %+v, %v", v, got, err)
		}
	}
}
