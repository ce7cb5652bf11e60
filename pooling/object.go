package pooling

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Object is one pool object as it was at one index.
type Object struct {
	Key   string `json:"key"`   // below the prefix: "eqiad/appserver/apache2/mw1033.eqiad.wmnet"
	Value string `json:"value"` // the JSON text exactly as found
	Index uint64 `json:"index"` // etcd's modifiedIndex
}

// Pooled says whether a load balancer may send a host traffic.
type Pooled string

// The values that conftool knows.
const (
	PooledYes      Pooled = "yes"
	PooledNo       Pooled = "no"       // out, and still known to the load balancer
	PooledInactive Pooled = "inactive" // out, and absent from everything that is generated from the pools
)

// Fields is what an object's value says.
type Fields struct {
	Pooled Pooled
	Weight json.Number // as it is written
	Marker string      // empty: nobody's
}

// Datacenter returns the first part of the key, or "" if the key is malformed.
func (o Object) Datacenter() string { return o.part(0) }

// Cluster returns the second part of the key, or "" if the key is malformed.
func (o Object) Cluster() string { return o.part(1) }

// Service returns the third part of the key, or "" if the key is malformed.
func (o Object) Service() string { return o.part(2) }

// Host returns the last part of the key, or "" if the key is malformed.
func (o Object) Host() string { return o.part(3) }

// Pool returns the key without its host, datacenter/cluster/service, or "" if the key is malformed.
func (o Object) Pool() string {
	if o.part(3) == "" {
		return ""
	}
	return o.Key[:strings.LastIndexByte(o.Key, '/')]
}

func (o Object) part(i int) string {
	parts, err := splitKey(o.Key)
	if err != nil {
		return ""
	}
	return parts[i]
}

// Fields decodes the value. The error is ErrMalformed for whatever conftool would not have written.
func (o Object) Fields() (Fields, error) {
	f, err := decodeFields(o.Value)
	if err != nil {
		return Fields{}, fmt.Errorf("%s: %w", Clean(o.Key), err)
	}
	return f, nil
}

// splitKey returns the four parts of an object's key.
func splitKey(key string) ([]string, error) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 {
		return nil, fmt.Errorf("key %q: %w: want datacenter/cluster/service/host", Clean(key), ErrMalformed)
	}
	for _, p := range parts {
		// etcd hides what begins with "_" from the reads of a directory, but not from all watches (3.4, measured).
		if !Plain(p) || p[0] == '_' {
			return nil, fmt.Errorf("key %q: %w: %q cannot be part of a key", Clean(key), ErrMalformed, Clean(p))
		}
	}
	return parts, nil
}

// writable returns an error unless o can be compared and set. With an index of 0 etcd 3.4 takes prevExist alone
// as the condition and overwrites whatever is there (measured).
func (o Object) writable() error {
	if _, err := splitKey(o.Key); err != nil {
		return err
	}
	if o.Index == 0 {
		return fmt.Errorf("%s: %w: its index is 0, as if it had not been read", Clean(o.Key), ErrMalformed)
	}
	return nil
}

// Plain reports whether s can be one part of a key, or of the path of a URL. etcd cleans a path after it has decoded it, so that
// an escaped ".." climbs as well as a plain one (etcd 3.4, measured).
func Plain(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsRune(s, '/') && !strings.ContainsFunc(s, unicode.IsControl)
}

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
	Index uint64 // etcd's index: changes after it are those after the snapshot
	Hosts map[string][]Object
	Pools map[string][]Object // by datacenter/cluster/service
}
