package preflight

import (
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
)

// origin holds what the guard found on the origin against it, and tells the plan what its tree holds.
func (j *judgement) origin() error {
	draft, err := j.draft()
	if err != nil {
		return err
	}
	o := j.facts.Origin
	if o == nil {
		return missing(Question{Topic: TopicOrigin, Hosts: []string{draft.Origin}})
	}
	if o.Failed != "" {
		return originRefusal(draft.Origin, o)
	}
	_, master := j.facts.Fleet.Master(draft.Origin)
	found := guard.Report{
		Refusals: slices.Concat(o.Report.Refusals, recordFindings(o.Record, o.Manifest, master)),
		Warnings: o.Report.Warnings,
	}
	j.Judged, j.Findings = draft.Origin, found
	if len(found.Refusals) > 0 && j.request.Override == "" {
		r := refuseByGuard(BadTree, "%s may not be synced from as it is", draft.Origin)
		r.Hosts, r.Findings = []string{draft.Origin}, found
		return r
	}
	j.warnPaths(draft.Origin, o.Manifest)
	j.Manifest, j.plan.Tree = o.Manifest, TreeOf(o.Manifest, draft.Paths)
	return nil
}

// originRefusal refuses a run for what could not be found out of its origin.
func originRefusal(host string, o *Origin) *Refusal {
	text := map[Kind]string{
		TreeUnread:    "the tree of " + host + " cannot be read: ",
		TreeUnjudged:  "the tree of " + host + " cannot be judged: ",
		OwnersUnknown: "guard: owners: ",
		RecordUnread:  host + " cannot be asked what it knows of its tree: ",
		BadRule:       "guard: required: ",
	}[o.Failed]
	r := refuse(o.Failed, "%s%w", text, o.Err)
	r.Hosts = []string{host}
	return r
}

// TreeOf says what a manifest is, as far as a run is about it: the whole of it, or some paths.
func TreeOf(m *manifest.Manifest, paths []string) *rollout.Tree {
	files, bytes := m.Count()
	return &rollout.Tree{Fingerprint: m.Fingerprint(), Digest: m.Digest(paths), Files: files, Bytes: bytes}
}

// recordFindings says what a host's own record has against its tree: a sync or an undo that did not end well has left it as nobody
// wanted it; and a host that a lost tree is rebuilt from must hold what a run left there.
func recordFindings(last *tree.Record, m *manifest.Manifest, master bool) []guard.Finding {
	if last == nil {
		return nil
	}
	run := transport.Neutral(last.Run)
	switch {
	case last.Partial:
		return []guard.Finding{{
			Rule: "partial", Text: "run " + run + " has changed the tree and did not end well: nobody knows what it is",
			Hint: "put back what it had, or sync it again",
		}}
	case !master && len(last.Paths) == 0 && last.Digest != "" && last.Digest != m.Digest(nil):
		return []guard.Finding{{
			Rule: "drift", Text: "the tree is not what run " + run + " left there",
			Hint: "fleetsync verify names what drifted; take another host",
		}}
	default:
		return nil
	}
}
