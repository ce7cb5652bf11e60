package testfleet

import "time"

// Policy is what a policy says. Paths and URLs may hold {host} and {destination}.
type Policy struct {
	About       string // what its first comment says
	State       string // the folder of runs' journals and logs
	Pools       string // URL of the pool API
	Drain, Soak time.Duration
	Batches     string // a mapping in braces
	Web         string // URL of a host's web server
	Headers     string // of requests for the front page: nothing, or ", headers: {...}"
	Fail        string // a command that makes the gate fail
	Generated   bool   // the tree is Tree's, so that it can be told whether it is whole
	Guard       string // further lines of the guard, indented by two
	KeepAll     bool   // every host keeps what a sync replaces, not only the canaries
	Resync      string // what is another way in resyncs: a mapping in braces
}

// Threshold is how many percent of a pool stay in.
const Threshold = 50

var policyTemplate = parse(`# {{.About}}
inventory: inventory.yaml
# Journals and logs of runs.
state: {{path .State}}
pooling:
  endpoints: {{flow .Endpoints}}
  prefix: {{.Prefix}}
  threshold: {{.Threshold}}%   # of each pool stay in, or fewer proxies serve
  drain: {{.Drain}}
  health: {http: {url: {{q .Health}}, status: 200}}   # asked before a proxy is repooled
batches: {{.Batches}}
gate:
  soak: {{.Soak}}   # the checks are repeated for so long
  interval: 500ms
  checks:   # of the canaries; to see a gate fail: {{.Fail}}
    - {name: front page, http: {url: {{q .Page}}{{.Headers}}, status: 200, body: "Main Page"}}
    - {name: tree, command: {{flow .Command}}}
{{- if or .Required .Guard}}
guard:
{{- with .Required}}
  required: {{flow .}}
{{- end}}
{{- with .Guard}}
{{.}}
{{- end}}
{{- end}}
{{- if .KeepAll}}
keep: {hosts: all}   # so that a whole run can be rolled back, not only the canaries
{{- end}}
modes:
  resync: {{.Resync}}
`)

// File returns the policy as a file.
func (p Policy) File() ([]byte, error) {
	data := struct {
		Policy
		Prefix, Health, Page         string
		Threshold                    int
		Endpoints, Command, Required []string
	}{
		Policy: p, Prefix: PoolPrefix, Health: p.Web + "/healthz", Page: p.Web + "/wiki/Main_Page", Threshold: Threshold,
		Endpoints: []string{p.Pools}, Command: []string{"test", "-d", "{destination}"},
	}
	if p.Generated {
		data.Command, data.Required = []string{"test", "-s", "{destination}/" + Versions}, []string{Versions}
	}
	return render(policyTemplate, data)
}
