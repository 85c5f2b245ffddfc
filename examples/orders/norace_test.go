//go:build !race

package orders_test

// raceEnabled says that everything is several times slower.
const raceEnabled = false
