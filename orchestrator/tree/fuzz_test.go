package tree

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// FuzzAnswers: what a host answers is hostile: nothing of it panics, and a plan has no path but those of its trees.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("r1\x00yes\x00no\x001700000000\x0012\x00"))
	f.Add([]byte(`{"run":"r1","at":"2016-02-02T00:00:00Z","digest":""}`))
	f.Add([]byte("r1\x00\x00abc  -\n\x00\x00d 755 0 1.0000000000 1.0000000000 1 1 2 0 0 0 .//\x00\x00\x00" +
		"f 644 1 1.0000000000 1.0000000000 1 1 1 0 0 8 ./1/a//\x00"))
	f.Add([]byte("\x00\x00f 644 1 1.0000000000 1.0000000000 1 1 2 0 0 8 ./a//\x00" +
		"f 644 1 1.0000000000 1.0000000000 1 1 2 0 0 8 ./b//\x00\x00l 777 1 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//x\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		_, _ = parseBackups(string(answer))
		_, _ = ParseRecord(answer)
		_, _ = ParseDigest(answer)
		var trees [3]*manifest.Manifest
		rest := answer
		for i := range trees {
			var part []byte
			part, rest = cutPart(rest)
			m, err := manifest.Parse(bytes.NewReader(part))
			if err != nil {
				m = &manifest.Manifest{}
			}
			trees[i] = m
		}
		ops, _, _, err := newPlan(trees[0], trees[1], trees[2], "/aside", 0)
		if err != nil {
			return
		}
		known := map[string]bool{}
		for _, m := range trees[:2] {
			for _, e := range m.Entries {
				known["./"+e.Path], known[e.Link] = true, true
			}
		}
		for _, o := range ops {
			for _, w := range o.words {
				if !known[w] && w != "-d" && !strings.HasPrefix(w, "@") && !strings.HasPrefix(w, "/aside/") {
					t.Errorf("%s %q", o.verb, w)
				}
			}
		}
	})
}
