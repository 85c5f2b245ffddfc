package caps

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/vmihailenco/msgpack/v5"
)

// leaks reports whether out holds the tag of weakText, or enough of it, in some notation.
func leaks(out string) bool {
	text := weakText[len(weakText)-32:]
	raw := decodeTag(text)
	for _, secret := range []string{text, string(raw[:])} {
		for part := 0; part+8 <= len(secret); part += 4 {
			piece := secret[part : part+8]
			for _, form := range []string{piece, hex.EncodeToString([]byte(piece)), fmt.Sprintf("% x", piece), strings.Trim(fmt.Sprint([]byte(piece)), "[]")} {
				if strings.Contains(strings.ToLower(out), form) {
					return true
				}
			}
		}
	}
	return false
}

type (
	shown    struct{ S SturdyRef }
	unshown  struct{ s SturdyRef }
	embedded struct{ SturdyRef }
	deep     struct {
		m map[string][]unshown
		p *unshown
		a any
	}
)

// holders are the ways to hold a SturdyRef.
func holders() map[string]any {
	s := sealed(weakText)
	p := &s
	return map[string]any{
		"itself": s, "a pointer": p, "a pointer to a pointer": &p, "a slice": []SturdyRef{s}, "an array": [1]SturdyRef{s},
		"a slice of any": []any{s, p}, "a map": map[string]SturdyRef{"a": s}, "a key": map[*SturdyRef]int{p: 1},
		"a field": shown{s}, "a pointer to a field": &shown{s}, "an unexported field": unshown{s}, "a pointer to that": &unshown{s},
		"a slice of those": []unshown{{s}}, "embedded": embedded{s}, "a pointer to embedded": &embedded{s},
		"far below": deep{map[string][]unshown{"a": {{s}}}, &unshown{s}, s}, "an error": fmt.Errorf("opening %v: %w", s, ErrRevoked),
		"an error that joins": errors.Join(fmt.Errorf("%s", s), &Error{Op: "restore", Object: s.String()}),
		"a reflect.Value":     reflect.ValueOf(s), "one of its field": reflect.ValueOf(s).Field(0), "one of an unexported field": reflect.ValueOf(unshown{s}).Field(0),
		"a method value": s.Reveal,
	}
}

func TestFmtRedacts(t *testing.T) {
	for name, v := range holders() {
		for _, flags := range []string{"", "+", "#", " ", "-", "0", "+#", "# ", "100", "-100.50", ".5", "[1]"} {
			for verb := rune('A'); verb <= 'z'; verb++ {
				if out := fmt.Sprintf("%"+flags+string(verb), v); leaks(out) {
					t.Fatalf("%s, %%%s%c: %s", name, flags, verb, out)
				}
			}
		}
		wrap := "%w" // for which fmt calls no method of what is no error
		if out := fmt.Sprint(v, v) + fmt.Sprintln(v) + fmt.Errorf(wrap, v).Error(); leaks(out) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestRedactedFormSaysWhatItIs(t *testing.T) {
	want := "sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/rights=rs/only=a.b+caf%C3%A9+get/until=2026-12-01T00:00:00Z/(secret)"
	s := sealed(weakText)
	text, _ := s.MarshalText()
	for _, got := range []string{s.String(), s.GoString(), fmt.Sprintf("%#v", s), fmt.Sprintf("%x", s), s.LogValue().String(), string(text)} {
		if got != want {
			t.Errorf("%s", got)
		}
	}
	if got := sealed(plainText).String(); got != "sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/(secret)" {
		t.Errorf("%s", got)
	}
	if got := fmt.Sprint(SturdyRef{}, unshown{}); got != "sturdy ref: none {{<nil>}}" {
		t.Errorf("the zero SturdyRef: %s", got)
	}
}

func TestLogsRedact(t *testing.T) {
	for name, v := range holders() {
		var out bytes.Buffer
		log.New(&out, "", 0).Print(v)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).With("with", v).Info("text", "ref", v, slog.Group("group", "ref", v))
		}
		if leaks(out.String()) {
			t.Errorf("%s: %s", name, out.String())
		}
	}
}

func TestEncodersRedact(t *testing.T) {
	encoders := map[string]func(any) ([]byte, error){
		"json": json.Marshal, "xml": xml.Marshal, "msgpack": msgpack.Marshal,
		"gob": func(v any) ([]byte, error) {
			var out bytes.Buffer
			err := gob.NewEncoder(&out).Encode(v)
			return out.Bytes(), err
		},
		"template": func(v any) ([]byte, error) {
			var out bytes.Buffer
			err := template.Must(template.New("").Parse(`{{.}} {{printf "%v %x %d" . . .}} {{print .}} {{js .}}`)).Execute(&out, v)
			return out.Bytes(), err
		},
	}
	for encoder, encode := range encoders {
		for name, v := range holders() {
			if _, ok := v.(reflect.Value); ok {
				continue
			}
			if out, err := encode(v); leaks(string(out)) || err != nil && leaks(err.Error()) {
				t.Errorf("%s of %s: %s, %v", encoder, name, out, err)
			}
		}
	}
	out, err := json.Marshal(map[string]any{"a": shown{sealed(plainText)}, "b": SturdyRef{}})
	if want := `{"a":{"S":"sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/(secret)"},"b":"sturdy ref: none"}`; err != nil || string(out) != want {
		t.Errorf("JSON: %s, %v", out, err)
	}
}

// TestRedactedIsNotRead: no decoder makes a SturdyRef of a redacted text, nor of a whole one.
func TestRedactedIsNotRead(t *testing.T) {
	for _, s := range []SturdyRef{{}, sealed(plainText), sealed(weakText)} {
		if _, err := ParseSturdyRef(s.String()); !errors.Is(err, ErrBadArgument) {
			t.Errorf("%s: %v", s, err)
		}
		for name, c := range map[string]struct {
			encode func(any) ([]byte, error)
			decode func([]byte, any) error
		}{"JSON": {json.Marshal, json.Unmarshal}, "msgpack": {msgpack.Marshal, msgpack.Unmarshal}} {
			for _, text := range []string{s.String(), s.Reveal()} {
				var got SturdyRef
				body, err := c.encode(text)
				check(err)
				if err := c.decode(body, &got); err == nil || !got.IsZero() || leaks(err.Error()) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// TestReflectionFindsNothing: a printer that calls no methods and follows everything, as
// some that are made for debugging do, gets to no string with the tag.
func TestReflectionFindsNothing(t *testing.T) {
	found := 0
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		found++
		switch v.Kind() {
		case reflect.String:
			if leaks(v.String()) {
				t.Errorf("found %s", v.String())
			}
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(k)
				walk(v.MapIndex(k))
			}
		}
	}
	for _, v := range holders() {
		if _, ok := v.(reflect.Value); !ok {
			walk(reflect.ValueOf(v))
		}
	}
	if found < 50 {
		t.Errorf("walked over %d values", found)
	}
}

// TestPanicRedacts lets a copy of this process die of a SturdyRef.
func TestPanicRedacts(t *testing.T) {
	const variable = "CAPS_TEST_PANIC"
	if name := os.Getenv(variable); name != "" {
		panic(holders()[name])
	}
	for _, name := range []string{"itself", "a pointer", "a field", "an unexported field", "an error", "embedded"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPanicRedacts$")
		cmd.Env = append(os.Environ(), variable+"="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: ") || leaks(string(out)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestLeaksAreSeen(t *testing.T) {
	s := sealed(weakText)
	raw := decodeTag(weakText[len(weakText)-32:])
	type bare struct{ secret string }
	for _, out := range []string{s.Reveal(), fmt.Sprintf("%x", s.Reveal()), fmt.Sprintf("% X", s.Reveal()), fmt.Sprint([]byte(s.Reveal())), fmt.Sprint(raw), fmt.Sprintf("%X", raw), fmt.Sprint(struct{ b bare }{bare{s.Reveal()}})} {
		if !leaks(out) {
			t.Errorf("not seen: %s", out)
		}
	}
	if leaks(s.String()) {
		t.Error("seen in the redacted form")
	}
}
