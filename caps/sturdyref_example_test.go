package caps_test

import (
	"fmt"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// Whoever holds a text makes a weaker one of it without asking anybody.
func ExampleSturdyRef() {
	const get = caps.Query[int]("example.org/counter.get")
	got := "sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/aebagbafaydqqcikbmga2dqpcaireeyu"
	mine, err := caps.ParseSturdyRef(got)
	if err != nil {
		fmt.Println(err)
		return
	}
	yours := mine.Attenuate(caps.Read).Only(get).Until(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	fmt.Println(yours) // a log would see this
	fmt.Println(yours.Reveal())
	// Output:
	// sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/rights=r/only=example.org%2Fcounter.get/until=2026-12-01T00:00:00Z/(secret)
	// sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/rights=r/only=example.org%2Fcounter.get/until=2026-12-01T00:00:00Z/mvk52flosbalp2dcfzpfwwnqmmar4rvv
}
