package inventory

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what the mistakes in testdata give now as what they should give")

// Each archive in testdata/fleet and testdata/policy holds files with mistakes of one kind, each
// followed by the whole error that it must give. After a change of a message:
//
//	go test ./inventory -run Mistakes -update
func TestMistakes(t *testing.T) {
	testMistakes(t, "testdata/fleet/*.txtar", func(name string, data []byte) error {
		_, err := ParseFleet(name, data)
		return err
	})
	testMistakes(t, "testdata/policy/*.txtar", func(name string, data []byte) error {
		_, err := ParsePolicy(filepath.Join("testdata", name), data)
		return err
	})
}

func testMistakes(t *testing.T, archives string, parse func(name string, data []byte) error) {
	t.Helper()
	paths, err := filepath.Glob(archives)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no archives %s: %v", archives, err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		updated := txtar.Archive{Comment: archive.Comment}
		for i, file := range archive.Files {
			name, isInput := strings.CutSuffix(file.Name, ".yaml")
			if !isInput {
				continue
			}
			t.Run(filepath.Base(path)+"/"+name, func(t *testing.T) {
				err := parse(file.Name, file.Data)
				if err == nil {
					t.Fatal("no error")
				}
				checkProblems(t, err, string(file.Data))
				got := err.Error() + "\n"
				updated.Files = append(updated.Files, file, txtar.File{Name: name + ".want", Data: []byte(got)})
				want := ""
				if i+1 < len(archive.Files) && archive.Files[i+1].Name == name+".want" {
					want = string(archive.Files[i+1].Data)
				}
				if got != want && !*update {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
		if *update && !t.Failed() {
			if err := os.WriteFile(path, txtar.Format(&updated), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// archived returns the inputs in archives, as seeds for fuzzing.
func archived(f *testing.F, archives string) [][]byte {
	f.Helper()
	paths, err := filepath.Glob(archives)
	if err != nil {
		f.Fatal(err)
	}
	var inputs [][]byte
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".yaml") {
				inputs = append(inputs, file.Data)
			}
		}
	}
	return inputs
}
