package text

import (
	"strings"
	"testing"
	"time"
)

func TestTimesAreReadAsTheyAreTyped(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"7d": "2026-11-29T10:00:00Z", "36h": "2026-11-23T22:00:00Z", "1d12h": "2026-11-23T22:00:00Z", "2w": "2026-12-06T10:00:00Z",
		"90m": "2026-11-22T11:30:00Z", "5s": "2026-11-22T10:00:05Z", "0s": "2026-11-22T10:00:00Z",
		"2026-11-29": "2026-11-29T00:00:00Z", "2026-11-29 15:04": "2026-11-29T15:04:00Z", "2026-11-29T15:04:05+01:00": "2026-11-29T14:04:05Z",
	} {
		if got, err := Moment(s, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q is %v, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "7", "7x", "-7d", "7 d", "7d ", "7days", "1.5h", "tomorrow", "36501d", "99999999999999999999d", "9223372036854775807w", "36500d1s", "２d", "7d\x1b[31m"} {
		got, err := Moment(s, now)
		if err == nil {
			t.Errorf("%q is %v", s, got)
		} else if !strings.Contains(err.Error(), "they look like") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %q is no help", s, err)
		}
	}
	if got, err := Span("36501d"); err == nil || !strings.Contains(err.Error(), "longer than a hundred years") {
		t.Errorf("36501d is %v, %v", got, err)
	}
}

func TestAColumnTellsHowLongAgo(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", -59 * time.Second: "now", time.Second: "in 1s", 59 * time.Second: "in 59s", -90 * time.Second: "90s ago",
		-time.Hour: "60m ago", 3 * time.Hour: "in 3h", -47 * time.Hour: "47h ago", 7*24*time.Hour - time.Millisecond: "in 7d",
		-60 * 24 * time.Hour: "60d ago", 61 * 24 * time.Hour: "2027-01-22",
	} {
		if got := Ago(now.Add(d), now); got != want {
			t.Errorf("%v from now is %q, want %q", d, got, want)
		}
	}
	if got := Ago(time.Time{}, now); got != "0001-01-01" {
		t.Errorf("the zero time is %q", got)
	}
}

// FuzzSpan: what is read is what the letters say, by a reader that knows one unit at a time.
func FuzzSpan(f *testing.F) {
	for _, s := range []string{"7d", "1d12h", "", "w", "99999999999999999999s", "36500d", "3m3m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Span(s)
		if err != nil {
			return
		}
		var want time.Duration
		n := time.Duration(0)
		for _, c := range s {
			if strings.ContainsRune("0123456789", c) {
				n = n*10 + time.Duration(c-'0')
				continue
			}
			want += n * map[rune]time.Duration{'w': 604800e9, 'd': 86400e9, 'h': 3600e9, 'm': 60e9, 's': 1e9}[c]
			n = 0
		}
		if got != want || n != 0 || got > maxSpan {
			t.Fatalf("%q is %v, want %v", s, got, want)
		}
	})
}

func TestALengthOfTimeIsTypedAsItIsTold(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Minute: "90m", 36 * time.Hour: "36h", 14 * 24 * time.Hour: "14d",
		1500 * time.Millisecond: "1.5s", time.Nanosecond: "1ns", -time.Hour: "-1h0m0s",
	} {
		if got := Length(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
