package rollout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestStepKinds holds that the list of kinds of steps names every one that is declared: what else must know each kind is
// tested over that list.
func TestStepKinds(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "step.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "StepKind" {
			return true
		}
		for _, value := range spec.Values {
			text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared++
			if !slices.Contains(rollout.StepKinds, rollout.StepKind(text)) {
				t.Errorf("StepKinds lacks %q", text)
			}
		}
		return true
	})
	if declared != len(rollout.StepKinds) {
		t.Errorf("%d kinds are declared, and StepKinds has %d", declared, len(rollout.StepKinds))
	}
}
