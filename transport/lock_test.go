package transport

import (
	"strings"
	"testing"
)

func TestLockIsTheDestinations(t *testing.T) {
	a := LockFile("/s", "/srv/a/tree")
	if b := LockFile("/s", "/srv/b/tree"); a == b {
		t.Errorf("two destinations share the lock %s", a)
	}
	if long := LockFile("/s", "/"+strings.Repeat("a", 255)); len(long) > 200 {
		t.Errorf("%d bytes", len(long))
	}
}
