package pooling

import "slices"

// Selection narrows the pools that a Client sees. An empty list is any.
type Selection struct {
	Datacenters []string
	Clusters    []string
	Services    []string
}

func (s Selection) has(o Object) bool {
	in := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	return in(s.Datacenters, o.Datacenter()) && in(s.Clusters, o.Cluster()) && in(s.Services, o.Service())
}

// Snapshot is what the selected pools were at one moment. Lists are sorted by key.
type Snapshot struct {
	Index uint64 // of the store: changes after it are those after the snapshot
	Hosts map[string][]Object
	Pools map[string][]Object // by datacenter/cluster/service
}
