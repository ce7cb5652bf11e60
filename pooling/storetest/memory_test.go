package storetest_test

import (
	"testing"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Conformance(t, func(*testing.T) pooling.Store { return &storetest.Memory{} })
}
