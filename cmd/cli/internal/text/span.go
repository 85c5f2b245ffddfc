package text

import (
	"fmt"
	"strconv"
	"time"
)

// maxSpan is the longest that Span reads, about a hundred years.
const maxSpan = 36_500 * 24 * time.Hour

// Span reads a length of time as it is typed: whole numbers with w, d, h, m or s behind
// them, "7d", "36h", "1d12h".
func Span(s string) (time.Duration, error) {
	var total time.Duration
	for rest := s; ; {
		digits := 0
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || digits == len(rest) || unit(rest[digits]) == 0 {
			return 0, fmt.Errorf(`%s is no length of time; they look like "7d", "36h", "1d12h"`, quote(s))
		}
		if n > int64(maxSpan/unit(rest[digits])) {
			return 0, fmt.Errorf("%s is longer than a hundred years", quote(s))
		}
		if total += time.Duration(n) * unit(rest[digits]); total > maxSpan {
			return 0, fmt.Errorf("%s is longer than a hundred years", quote(s))
		}
		if rest = rest[digits+1:]; rest == "" {
			return total, nil
		}
	}
}

// Length is d as Span reads it if it is a whole number of one unit, the largest that is:
// "7d", "90m"; else as Go writes it, "1.5s".
func Length(d time.Duration) string {
	for _, c := range []byte("dhms") {
		if d > 0 && d%unit(c) == 0 {
			return strconv.FormatInt(int64(d/unit(c)), 10) + string(c)
		}
	}
	return d.String()
}

func unit(c byte) time.Duration {
	switch c {
	case 'w':
		return 7 * 24 * time.Hour
	case 'd':
		return 24 * time.Hour
	case 'h':
		return time.Hour
	case 'm':
		return time.Minute
	case 's':
		return time.Second
	}
	return 0
}

// Moment reads a time as it is typed: a length of time from now on, as Span reads it, or a
// date or time. A date is its first moment; what has no zone is in UTC.
func Moment(s string, now time.Time) (time.Time, error) {
	if t, ok := Time(s); ok {
		return t, nil
	}
	if span, err := Span(s); err == nil {
		return now.Add(span), nil
	}
	return time.Time{}, fmt.Errorf(`%s is no time; they look like "7d", "36h", "2026-11-29" and "2026-11-29T15:04:05Z"`, quote(s))
}

// Time reads a date or time as it is typed. What has no zone is in UTC.
func Time(s string) (t time.Time, ok bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// quote is s as an error quotes it.
func quote(s string) string { return Line(strconv.Quote(Cut(s[:min(len(s), 160)], 40))) }

// Ago is how far t is from now, short enough for a column: "now", "5m ago", "in 7d"; a date
// if that is further than two months.
func Ago(t, now time.Time) string {
	d := t.Sub(now)
	far := d.Abs()
	var s string
	switch {
	case far > 60*24*time.Hour:
		return t.UTC().Format(time.DateOnly)
	case d <= 0 && far < time.Minute:
		return "now"
	case far < 2*time.Minute:
		s = fmt.Sprintf("%ds", int(far.Round(time.Second)/time.Second))
	case far < 2*time.Hour:
		s = fmt.Sprintf("%dm", int(far.Round(time.Minute)/time.Minute))
	case far < 48*time.Hour:
		s = fmt.Sprintf("%dh", int(far.Round(time.Hour)/time.Hour))
	default:
		s = fmt.Sprintf("%dd", int(far.Round(24*time.Hour)/(24*time.Hour)))
	}
	if d > 0 {
		return "in " + s
	}
	return s + " ago"
}
