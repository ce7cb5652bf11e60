package pooling

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Object is one pool object as it was at one index.
type Object struct {
	Key   string `json:"key"`   // below the prefix: "eqiad/appserver/apache2/mw1033.eqiad.wmnet"
	Value string `json:"value"` // the JSON text exactly as found
	Index uint64 `json:"index"` // of its last change
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

// writable returns an error unless o can be compared and set.
func (o Object) writable() error {
	if _, err := splitKey(o.Key); err != nil {
		return err
	}
	if o.Index == 0 {
		return fmt.Errorf("%s: %w: its index is 0, as if it had not been read", Clean(o.Key), ErrMalformed)
	}
	return nil
}
