package pooling

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// InventoryRecord says which inventory the last run of a fleet used, and where: masters whose
// inventories differ sync different fleets, and nobody would notice.
type InventoryRecord struct {
	Digest  string    `json:"digest"`
	Machine string    `json:"machine,omitempty"`
	Since   time.Time `json:"since"`
}

func (r InventoryRecord) check() (name string, err error) {
	if err := errors.Join(checkText("digest", r.Digest), checkText("machine", r.Machine)); err != nil {
		return "", err
	}
	return inventoryName, nil
}

const inventoryName = "last"

// PutInventory records the inventory of a run. It can be repeated.
func (s *Shared) PutInventory(ctx context.Context, r InventoryRecord) error {
	r.Since = r.Since.UTC().Truncate(time.Second)
	name, err := r.check()
	if err != nil {
		return fmt.Errorf("record of an inventory: %w", err)
	}
	return s.put(ctx, "inventory/"+name, r)
}

// Inventory returns the inventory of the last run. The error is ErrNotFound if there is none.
func (s *Shared) Inventory(ctx context.Context) (InventoryRecord, error) {
	records, err := list(ctx, s, "inventory", InventoryRecord.check)
	if err != nil {
		return InventoryRecord{}, err
	}
	if len(records) == 0 {
		return InventoryRecord{}, fmt.Errorf("the last inventory: %w", ErrNotFound)
	}
	return records[0], nil
}
