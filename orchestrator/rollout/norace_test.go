//go:build !race

package rollout_test

// raceEnabled says that everything takes ten times as long.
const raceEnabled = false
