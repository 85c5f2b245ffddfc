//go:build !race

package sturdy_test

// raceEnabled says that everything is several times slower.
const raceEnabled = false
