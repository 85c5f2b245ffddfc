package sturdy_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// secretsOf are the byte strings that nobody may see: of a text, and of the world's key.
func secretsOf(t *testing.T, s *shelf, texts ...caps.SturdyRef) (secrets map[string][]byte) {
	t.Helper()
	file, err := s.Disk().ReadFile("key")
	must(t, err)
	return keySecrets(t, file, texts...)
}

func keySecrets(t *testing.T, file []byte, texts ...caps.SturdyRef) map[string][]byte {
	t.Helper()
	block, _ := pem.Decode(file)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	seed := key.(ed25519.PrivateKey).Seed()
	derived, err := hkdf.Key(sha256.New, seed, nil, "sturdy refs", 32)
	must(t, err)
	secrets := map[string][]byte{"seed": seed, "derived": derived, "file": block.Bytes}
	for i, text := range texts {
		reveal := text.Reveal()
		secrets[fmt.Sprint("tag ", i)] = []byte(reveal[len(reveal)-32:])
	}
	return secrets
}

// shows reports which secret stands in b, in any of the forms that printers have.
func shows(b []byte, secrets map[string][]byte) string {
	for name, s := range secrets {
		dec := strings.Trim(fmt.Sprint(s), "[]")
		goDec := strings.ReplaceAll(dec, " ", ", ")
		goHex := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", s), "[]byte{"), "}")
		for form, text := range map[string]string{
			"raw": string(s), "hex": hex.EncodeToString(s), "HEX": strings.ToUpper(hex.EncodeToString(s)), "spaced": fmt.Sprintf("% x", s),
			"base64": base64.StdEncoding.EncodeToString(s), "decimal": dec, "decimal with commas": goDec, "json": strings.ReplaceAll(dec, " ", ","), "go": goHex,
		} {
			if bytes.Contains(b, []byte(text)) {
				return name + " as " + form
			}
		}
	}
	return ""
}

// exposed is what careless programs print.
type exposed struct {
	Ref    caps.Ref
	Grant  sturdy.Grant
	Text   caps.SturdyRef
	Info   sturdy.GrantInfo
	World  *sturdy.Runtime
	hidden caps.SturdyRef
	ref    caps.Ref
}

func TestNothingThatIsPrintedShowsASecret(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	text, g := s.save(s.account, caps.Terms{For: "printed"})
	weak := text.Only(acGet)
	secrets := secretsOf(t, s, text, weak)
	ref := s.restore(weak, "")
	info, err := g.Info(ctx)
	must(t, err)
	describe, err := s.Describe(ctx, ref)
	must(t, err)
	_, wrong := s.Restore(ctx, tampered(t, text))
	_, parse := caps.ParseSturdyRef(text.Reveal() + " ")
	s.revoke(g)
	_, revoked := s.Restore(ctx, text)
	_, call := acGet.Call(ctx, ref)
	must(t, s.Close()) // reflection reads what the flusher writes
	e := exposed{ref, g, text, info, s.Runtime, text, ref}
	values := []any{ref, g, text, weak, info, describe, wrong, parse, revoked, call, e, &e, []exposed{e}, map[string]any{"e": e}, []any{text, &text}, s.Runtime}
	for i, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%08.3f", "%!"} {
			if what := shows(fmt.Appendf(nil, verb, v), secrets); what != "" {
				t.Errorf("%s of value %d shows %s", verb, i, what)
			}
		}
		var logged, packed bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, nil))
		log.Info("text", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("json", "v", v)
		for how, err := range map[string]error{
			"json":    json.NewEncoder(&packed).Encode(careful(v)),
			"gob":     gob.NewEncoder(&packed).Encode(careful(v)),
			"msgpack": msgpack.NewEncoder(&packed).Encode(careful(v)),
		} {
			if err != nil {
				fmt.Fprintf(&packed, "%s: %v", how, err)
			}
		}
		for how, b := range map[string][]byte{"slog": logged.Bytes(), "encoders": packed.Bytes()} {
			if what := shows(b, secrets); what != "" {
				t.Errorf("%s of value %d shows %s", how, i, what)
			}
		}
	}
}

// careful leaves out what encoders follow without end.
func careful(v any) any {
	switch v := v.(type) {
	case *sturdy.Runtime:
		return nil
	case exposed:
		v.World = nil
		return v
	case *exposed:
		return nil
	case []exposed, map[string]any:
		return nil
	}
	return v
}

// tampered is text with another tag.
func tampered(t *testing.T, text caps.SturdyRef) caps.SturdyRef {
	t.Helper()
	reveal := text.Reveal()
	last := byte('a')
	if reveal[len(reveal)-1] == last {
		last = 'b'
	}
	wrong, err := caps.ParseSturdyRef(reveal[:len(reveal)-1] + string(last))
	must(t, err)
	return wrong
}

// walk visits everything that reflection reaches without being let to call functions.
func walk(v reflect.Value, seen map[[2]uintptr]bool, visit func(path string, b []byte), path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		at := [2]uintptr{v.Pointer(), uintptr(reflect.ValueOf(v.Type()).Pointer())}
		if !seen[at] {
			seen[at] = true
			walk(v.Elem(), seen, visit, path)
		}
	case reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), seen, visit, path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), seen, visit, path+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			walk(k, seen, visit, path+"[key]")
			walk(v.MapIndex(k), seen, visit, path+"[value]")
		}
	case reflect.String:
		visit(path, []byte(v.String()))
	case reflect.Slice, reflect.Array:
		switch {
		case v.Len() > 1<<16: // a file that is mapped may be shorter than its map
			return
		case v.Type().Elem().Kind() == reflect.Uint8:
			b := make([]byte, v.Len())
			for i := range b {
				b[i] = byte(v.Index(i).Uint())
			}
			visit(path, b)
			return
		}
		for i := range min(v.Len(), 1000) {
			walk(v.Index(i), seen, visit, path+"[]")
		}
	}
}

// What prints values deep gets from any Ref to its world, and through it.
func TestReflectionFindsNoSecretBehindARef(t *testing.T) {
	s := fastShelf(t)
	text, g := s.save(s.account, caps.Terms{For: "walked"})
	weak := text.Only(acGet)
	secrets := secretsOf(t, s, text, weak)
	ref := s.restore(weak, "")
	must(t, s.Close()) // see above
	fields := 0
	for name, v := range map[string]any{"ref": ref, "grant": g, "text": text, "runtime": s.Runtime, "no rights": ref.Attenuate(0)} {
		walk(reflect.ValueOf(v), map[[2]uintptr]bool{}, func(path string, b []byte) {
			fields++
			if what := shows(b, secrets); what != "" && !strings.Contains(path, ".Files.") { // the disk is in memory here
				t.Errorf("%s%s is %s", name, path, what)
			}
		}, "")
	}
	if fields < 100 {
		t.Errorf("only %d fields were reached", fields)
	}
}

// Reflection without its back doors changes nothing of a Ref.
func TestReflectionCannotChangeARef(t *testing.T) {
	s := fastShelf(t)
	weak := s.account.Attenuate(caps.Read)
	v := reflect.ValueOf(&weak).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.CanSet() || f.CanInterface() {
			t.Errorf("field %s of a Ref can be set", v.Type().Field(i).Name)
		}
	}
	for _, bad := range []any{&weak, &struct{ R caps.Ref }{weak}} {
		for _, text := range []string{`{"rights":7,"Rights":7,"deep":false}`, `{"R":{"rights":7}}`, `7`} {
			_ = json.Unmarshal([]byte(text), bad)
			_ = msgpack.Unmarshal([]byte{0x81, 0xa6, 'r', 'i', 'g', 'h', 't', 's', 7}, bad)
		}
	}
	if weak != s.account.Attenuate(caps.Read) {
		t.Errorf("decoding made %v of it", weak)
	}
}

// Refusals that a stranger can provoke hold nothing of what he is not to know.
func TestErrorsTellAHolderOnlyOfHisOwnGrants(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	above, g := s.grant(s.account, caps.Terms{For: "the secret project of somebody else"})
	mine, _ := s.grant(above, caps.Terms{For: "me", Only: []caps.Named{acGet}})
	text, mg := s.save(mine, caps.Terms{For: "my text"})
	said := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("no error")
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if all := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(all, "secret project") {
				t.Errorf("a holder is told: %s", all)
			}
		}
	}
	_, err := acAdd.Call(ctx, mine, 1)
	said(err)
	if info, err := mg.Info(ctx); err != nil || strings.Contains(fmt.Sprintf("%+v", info), "secret project") {
		t.Errorf("%+v, %v", info, err)
	}
	if c, cerr := caps.CodecFor(typeOf[sturdy.GrantInfo]()); cerr != nil || c.HasRefs() {
		t.Error("what a grant says can hold a reference")
	}
	s.revoke(g)
	_, err = acGet.Call(ctx, mine)
	said(err)
	_, err = s.Restore(ctx, text)
	said(err)
	err = s.Update(context.Background(), func(tn *sturdy.WriteTurn) error { tn.Grant(mine, caps.Terms{}); return nil })
	said(err)
}
