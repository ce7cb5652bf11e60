package execute

import (
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestEveryKindHasAnEffect: a kind of step that the core may start is carried out.
//
// Seen to fail with: a kind that is left out of effect.
func TestEveryKindHasAnEffect(t *testing.T) {
	var x Executor
	for _, kind := range rollout.StepKinds {
		if x.effect(kind) == nil {
			t.Errorf("nothing carries out a step of kind %q", kind)
		}
	}
	if e := x.Do(t.Context(), rollout.Step{Kind: "unheard-of"}); e.Kind != rollout.StepFailed || e.Class != rollout.Permanent {
		t.Errorf("a step of a kind that there is not ended with %+v", e)
	}
}
