package foreign

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func from(n byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n / 100, n}), 32)
}

// saves makes grants until it is refused, and says how many.
func (p *program) saves() (n int) {
	p.t.Helper()
	d := p.desk()
	for {
		saved := p.call(d, "Ref.save", struct1(p.t, "terms", struct1(p.t, "purpose", "more")))
		if _, err := saved.result(); err != nil {
			if !strings.Contains(err.Error(), "Limits.Records") || !strings.Contains(err.Error(), "overloaded: ") {
				p.t.Error(err)
			}
			return n
		}
		n++
	}
}

// TestWhoComesAgainHasMadeWhatItHasMade, and nobody else has.
func TestWhoComesAgainHasMadeWhatItHasMade(t *testing.T) {
	w := newWorld(t, Limits{Records: 5})
	total := 0
	for range 4 {
		p := w.visits(Visitor{From: from(1)})
		total += p.saves()
		p.close()
	}
	if total != 5 {
		t.Errorf("by coming again it made %d", total)
	}
	if n := w.visits(Visitor{From: from(2)}).saves(); n != 5 {
		t.Errorf("who comes from elsewhere made %d", n)
	}
	for range 2 {
		if n := w.visits(Visitor{Owner: true}).saves(); n != 5 {
			t.Errorf("an owner made %d over one connection", n)
		}
	}
}

func TestWhatWasMadeIsForgottenWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a allowance
		lim := Limits{Records: 10, Renew: time.Hour}.withDefaults()
		makes := func(from netip.Prefix) (n int, wait time.Duration) {
			for ; ; n++ {
				if wait = a.spend(from, lim); wait > 0 {
					return n, wait
				}
			}
		}
		if n, wait := makes(from(1)); n != 10 || wait != 6*time.Minute {
			t.Error(n, wait)
		}
		time.Sleep(6 * time.Minute)
		if n, _ := makes(from(1)); n != 1 {
			t.Error("after a tenth of the time:", n)
		}
		time.Sleep(2 * time.Hour)
		if n, _ := makes(from(1)); n != 10 {
			t.Error("after all of it:", n)
		}
		// Who comes from everywhere has no more than what is for everybody else.
		total := 0
		for i := range 5 * maxPlaces {
			n, _ := makes(netip.PrefixFrom(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), 32))
			total += n
		}
		if total != 10*maxPlaces || len(a.spent) > maxPlaces+1 {
			t.Errorf("%d records, %d places", total, len(a.spent))
		}
		time.Sleep(time.Hour)
		if n, _ := makes(from(2)); n != 10 || len(a.spent) != 1 {
			t.Error("those who have all of it again are remembered:", n, len(a.spent))
		}
	})
}
