package caps

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is what a SturdyRef means; sturdytext.go is how it is written:
//
//	sturdy://HOST/GRANT[/CAVEAT...]/TAG
//
// The host gives the first tag, the root, to a text without caveats. Each caveat makes the
// next tag: the first 20 bytes of HMAC-SHA256 with the tag before as the key and the caveat's
// text as the message. So whoever holds a text can append a caveat without asking anybody,
// and to take one off is to invert the HMAC. A signature would let a third party check the
// text, which nobody needs to, and would be three times as long.

// NewSturdyRef writes the text of a grant, for the host that made it. host is the host's
// name, 32 characters of base32; grant is not 0; root is the first tag, 20 bytes that nobody
// can guess and that the host can find again from grant. It fails with ErrBadArgument.
func NewSturdyRef(host string, grant uint64, root []byte) (SturdyRef, error) {
	if len(root) != tagBytes {
		return SturdyRef{}, notSturdy("the root secret is not 20 bytes")
	}
	body := scheme + host + "/" + strconv.FormatUint(grant, 16)
	return ParseSturdyRef(body + "/" + encodeTag(tag(root)))
}

// ParseSturdyRef reads a text that Reveal gave. It takes that text only: nothing is trimmed,
// folded or repaired, so two texts that differ mean different things. It fails with
// ErrBadArgument; the error quotes nothing, as s may be a secret that was mangled on its way.
// Whether the text opens anything only its host can say.
func ParseSturdyRef(s string) (SturdyRef, error) {
	if why := faultIn(s); why != "" {
		return SturdyRef{}, notSturdy(why)
	}
	return sealed(s), nil
}

// sealed hides a text that is known to be well formed.
func sealed(text string) SturdyRef { return SturdyRef{func() string { return text }} }

func notSturdy(why string) error {
	return &Error{Code: ErrBadArgument, Text: "not a sturdy ref: " + why}
}

// Reveal returns the text, which is the secret: hand it to whom it is for, and to no log. It
// is made of letters, digits and "%+-./:=_", so it can be a cookie or stand in a URL. Of the
// zero SturdyRef it is empty. Compare two by what they reveal.
func (s SturdyRef) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether s is the zero SturdyRef, which opens nothing.
func (s SturdyRef) IsZero() bool { return s.reveal == nil }

// Host returns the name of the host that can open s, 32 characters of base32; empty for the
// zero SturdyRef.
func (s SturdyRef) Host() string {
	if s.IsZero() {
		return ""
	}
	return s.Reveal()[len(scheme):][:nameChars]
}

// Grant returns the number of the grant at its host; 0 for the zero SturdyRef.
func (s SturdyRef) Grant() uint64 {
	digits, _, _ := strings.Cut(s.path(), "/")
	grant, _ := strconv.ParseUint(digits, 16, 64) // the zero SturdyRef has no digits
	return grant
}

// path is what stands between the host and the tag: "1f/rights=r/only=get".
func (s SturdyRef) path() string {
	if s.IsZero() {
		return ""
	}
	text := s.Reveal()
	return text[len(scheme)+nameChars+1 : len(text)-nameChars-1]
}

// caveats yields the caveats from the first to the last.
func (s SturdyRef) caveats(yield func(string) bool) {
	_, rest, more := strings.Cut(s.path(), "/")
	for more {
		var caveat string
		if caveat, rest, more = strings.Cut(rest, "/"); !yield(caveat) {
			return
		}
	}
}

// Opens reports whether s descends from root, the 20 bytes that its host gave to its grant.
// Host and Grant say where to look for them; Opens does not look at either. It computes and
// compares everything, so its time tells nothing of how much was right.
func (s SturdyRef) Opens(root []byte) bool {
	var own, given tag
	copy(own[:], root)
	for caveat := range s.caveats {
		own = own.next(caveat)
	}
	if !s.IsZero() {
		text := s.Reveal()
		given = decodeTag(text[len(text)-nameChars:])
	}
	same := subtle.ConstantTimeCompare(own[:], given[:]) == 1
	return same && len(root) == tagBytes && !s.IsZero()
}

// tag proves what was written before it.
type tag [tagBytes]byte

// next is the tag after one more caveat: the beginning of HMAC-SHA256.
func (t tag) next(caveat string) tag {
	mac := hmac.New(sha256.New, t[:])
	mac.Write([]byte(caveat))
	return tag(mac.Sum(nil)[:tagBytes])
}

// Attenuate returns a text for the same with no more than the given rights, as Ref.Attenuate
// does. Like Only and Until it needs no host, and what cannot be written becomes the zero
// SturdyRef, which opens nothing: that of the zero SturdyRef, a 17th caveat, and a text
// longer than 2048 bytes. An error instead would have to be handled at each of three calls
// in a row, and forgetting to would hand out the stronger text.
func (s SturdyRef) Attenuate(to Rights) SturdyRef { return s.with("rights=" + rightsText(to)) }

// Only returns a text that allows no other methods than these. Without methods it allows
// nothing at all. It is the zero SturdyRef as Attenuate says, and if there are more than 64
// methods, one of them is nil, or its name is empty or longer than 256 bytes.
func (s SturdyRef) Only(methods ...Named) SturdyRef {
	if len(methods) == 0 {
		return s.Attenuate(0)
	}
	names := make([]string, len(methods))
	for i, m := range methods {
		if m == nil {
			return SturdyRef{}
		}
		names[i] = escape(m.Name())
	}
	slices.Sort(names)
	return s.with("only=" + strings.Join(slices.Compact(names), "+"))
}

// Until returns a text that opens nothing from t on, to the second: t is rounded down. From
// the year 10000 on, t counts as the last second before it. It is the zero SturdyRef as
// Attenuate says, and if t is not after 1970 began: the zero Time would mean no limit in
// Terms, and nobody means 1970.
func (s SturdyRef) Until(t time.Time) SturdyRef {
	sec := min(t.Unix(), lastSecond)
	return s.with("until=" + time.Unix(sec, 0).UTC().Format(timeForm))
}

// For returns a text whose grant is listed as given for that purpose, or to that party. It
// allows no less; who passes a text on says with it to whom. It is the zero SturdyRef as
// Attenuate says, and if to is empty, longer than 256 bytes or not Printable.
func (s SturdyRef) For(to string) SturdyRef { return s.with("for=" + escape(to)) }

// At returns a text that also says where its host may be found: "db.example.org:7070". It
// takes nothing away, and is a hint: who answers there has to prove that he is the host. A
// host adds its own address to what it saves; who knows a better one adds that. It is the
// zero SturdyRef as Attenuate says, and if address is empty, longer than 256 bytes or not
// Printable.
func (s SturdyRef) At(address string) SturdyRef { return s.with("at=" + escape(address)) }

// Addresses returns where the host of s may be found, what was added last first.
func (s SturdyRef) Addresses() (all []string) {
	for caveat := range s.caveats {
		if text, ok := strings.CutPrefix(caveat, "at="); ok {
			all = append(all, unescape(text))
		}
	}
	slices.Reverse(all)
	return all
}

// with appends a caveat, unless it is the last one already.
func (s SturdyRef) with(caveat string) SturdyRef {
	if s.IsZero() {
		return s
	}
	text := s.Reveal()
	body, given := text[:len(text)-nameChars-1], text[len(text)-nameChars:]
	if strings.HasSuffix(body, "/"+caveat) {
		return s
	}
	weaker, _ := ParseSturdyRef(body + "/" + caveat + "/" + encodeTag(decodeTag(given).next(caveat)))
	return weaker // the zero SturdyRef if it did not parse
}

// Narrow returns what the caveats leave of a, and the terms that they set: Only, sorted, what
// every list of methods allows, Until, the earliest, and For, the last. If the lists have nothing in common
// then Only is empty, which by itself would allow every method: what is left of a has no
// rights then. Of the zero SturdyRef nothing is left either. Call Opens first.
func (s SturdyRef) Narrow(a Authority) (Authority, Terms) {
	var terms Terms
	var only []string
	limited := false
	for caveat := range s.caveats {
		switch kind, text, _ := strings.Cut(caveat, "="); kind {
		case "rights":
			to, _ := rightsOf(text)
			a = a.Attenuate(to)
		case "until":
			if t, _ := timeOf(text); terms.Until.IsZero() || t.Before(terms.Until) {
				terms.Until = t
			}
		case "for":
			terms.For = unescape(text)
		case "only":
			names := strings.Split(text, "+")
			if limited {
				names = inBoth(only, names)
			}
			only, limited = names, true
		}
	}
	if limited && len(only) == 0 || s.IsZero() {
		a = a.Attenuate(0)
	}
	terms.Only = actionsOf(only)
	return a, terms
}

// inBoth returns what is in a and in b; a is used up.
func inBoth(a, b []string) []string {
	return slices.DeleteFunc(a, func(name string) bool { return !slices.Contains(b, name) })
}

// actionsOf turns escaped names into descriptors, sorted by name.
func actionsOf(escaped []string) []Named {
	if len(escaped) == 0 {
		return nil
	}
	names := make([]string, len(escaped))
	for i, e := range escaped {
		names[i] = unescape(e)
	}
	slices.Sort(names)
	list := make([]Named, len(names))
	for i, name := range names {
		list[i] = Action(name)
	}
	return list
}

// String shows the host, the grant and the caveats, and "(secret)" in place of the tag. It
// does not parse.
func (s SturdyRef) String() string {
	if s.IsZero() {
		return "sturdy ref: none"
	}
	text := s.Reveal()
	return text[:len(text)-nameChars] + "(secret)"
}

// GoString is String.
func (s SturdyRef) GoString() string { return s.String() }

// Format writes String for every verb and flag.
func (s SturdyRef) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, for log/slog.
func (s SturdyRef) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String: a SturdyRef inside something that is encoded stays behind. To
// store or send one, Reveal it.
func (s SturdyRef) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is MarshalText as a JSON string.
func (s SturdyRef) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }
