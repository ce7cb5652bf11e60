package preflight

import (
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// sampleSize is how many hosts of the fleet are asked for their free space, beside canaries, masters and proxies.
const sampleSize = 16

// space asks hosts what is free and what a sync would bring, and refuses a run for which too many have too little space.
func (j *judgement) space() error {
	draft, err := j.draft()
	if err != nil {
		return err
	}
	var questions []Question
	dry := unasked(dryRunHosts(draft), j.facts.DryRuns)
	if len(dry) > 0 {
		questions = append(questions, Question{Topic: TopicDryRun, Hosts: dry, Source: draft.Origin, Paths: draft.Paths})
	}
	ask := spaceHosts(draft)
	if names := unasked(namesOf(ask), j.facts.Free); len(names) > 0 {
		questions = append(questions, Question{Topic: TopicFree, Hosts: names})
	}
	if len(questions) > 0 {
		return missing(questions...)
	}
	d := diskSpace{mayFail: draft.Limits.MaxFailures}
	for _, h := range draft.Hosts {
		switch {
		case h.Name == draft.Origin:
		case h.Down != "":
			d.mayFail--
		case h.Role == rollout.RoleHost:
			d.others++
		}
	}
	for _, h := range ask {
		free := int64(-1)
		if a := j.facts.Free[h.Name]; a.Err == nil {
			free = a.Value
		}
		d.asked, d.free = append(d.asked, h), append(d.free, free)
	}
	j.plan.Delta = j.delta(dryRunHosts(draft))
	refused, text := d.judge(j.facts.Policy.Guard.MinFree + largest(j.plan.Delta))
	if refused {
		return refuseByGuard(NoSpace, "%s", text)
	}
	if text != "" {
		j.warn(WarnSpace, "%s", text)
	}
	return nil
}

// spaceHosts returns the hosts of a plan that are asked for their free space: all that the run begins with, and some of the others.
func spaceHosts(draft *rollout.Plan) []rollout.Host {
	var asked, others []rollout.Host
	for _, h := range draft.Hosts {
		switch {
		case h.Name == draft.Origin, h.Down != "":
		case h.Role == rollout.RoleHost:
			others = append(others, h)
		default:
			asked = append(asked, h)
		}
	}
	some := min(len(others), sampleSize)
	for i := range some {
		asked = append(asked, others[i*len(others)/some])
	}
	return asked
}

// diskSpace is what is free where a sync writes.
type diskSpace struct {
	asked   []rollout.Host
	free    []int64 // bytes, of each that was asked; negative is unknown: it cannot be synced either, and is judged then
	others  int     // hosts that are nothing but hosts, asked or not
	mayFail int     // hosts
}

// judge names the hosts that have fewer bytes free than are needed, if there are any. Such a canary or master is refused, and so
// are more than may fail; of two and more it is taken that those that were not asked are as those that were. Fewer are no reason
// not to sync all others.
func (d diskSpace) judge(need int64) (refused bool, text string) {
	var short []string
	vital, proxies, hosts, sampled := 0, 0, 0, 0
	for i, h := range d.asked {
		if h.Role == rollout.RoleHost {
			sampled++
		}
		if d.free[i] < 0 || d.free[i] >= need {
			continue
		}
		short = append(short, fmt.Sprintf("%s has %d bytes free", h.Name, d.free[i]))
		switch h.Role {
		case rollout.RoleCanary, rollout.RoleMaster:
			vital++
		case rollout.RoleProxy:
			proxies++
		case rollout.RoleHost:
			hosts++
		}
	}
	if len(short) == 0 {
		return false, ""
	}
	if hosts > 1 { // one says nothing of the others
		hosts = hosts * d.others / sampled
	}
	text = fmt.Sprintf("%d of %d hosts that were asked have too little space, as a sync needs %d bytes: %s",
		len(short), len(d.asked), need, strings.Join(short[:min(len(short), 5)], ", "))
	return vital > 0 || proxies+hosts > d.mayFail, text
}

// largest returns how many bytes a sync would bring to the host that gets the most.
func largest(d *rollout.Delta) int64 {
	var bytes int64
	for _, h := range d.Hosts {
		bytes = max(bytes, h.Bytes)
	}
	return bytes
}

func namesOf(hosts []rollout.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// unasked returns the hosts that have not answered.
func unasked[T any](names []string, answers map[string]Answer[T]) []string {
	var left []string
	for _, name := range names {
		if _, ok := answers[name]; !ok {
			left = append(left, name)
		}
	}
	return left
}
