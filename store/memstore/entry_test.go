package memstore

import (
	"reflect"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// fill gives every field of a value a distinct value other than zero. It fails at unknown kinds, so that a new field
// cannot be forgotten.
func fill(t *testing.T, v reflect.Value, path string, next *uint64) {
	t.Helper()

	*next++

	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(0, int64(*next)*1_000_000_007)))

		return
	}

	switch v.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(*next)
	case reflect.Int64:
		v.SetInt(int64(*next))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), path, next)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name, next)
		}
	default:
		t.Fatalf("%s is a %v: teach this test about it", path, v.Kind())
	}
}

func TestAnEntryKeepsEveryFieldOfARecord(t *testing.T) {
	t.Parallel()

	var (
		want, got store.Record
		next      uint64
		sh        shard
	)

	fill(t, reflect.ValueOf(&want).Elem(), "Record", &next)

	for i := range reflect.TypeFor[store.Record]().NumField() {
		if reflect.ValueOf(want).Field(i).IsZero() {
			t.Fatalf("%s was not filled", reflect.TypeFor[store.Record]().Field(i).Name)
		}
	}

	p := sh.add(1, &store.Key{1}, 2)
	sh.write(p, &want)
	sh.read(p, &got)

	if !reflect.DeepEqual(got, want) {
		t.Errorf("kept as\n%+v, must be\n%+v", got, want)
	}

	if got, want := sh.slabs.text(p).size(), sizeOf(&want); got != want {
		t.Errorf("the entry has size %d, the record %d", got, want)
	}

	// And all of it is overwritten, but the key and the scope.
	sh.write(p, &store.Record{})

	if got, want := *sh.slabs.entry(p), (entry{key: store.Key{1}, scope: 2}); got != want {
		t.Errorf("an empty record left %+v", got)
	}

	if text := *sh.slabs.text(p); !reflect.ValueOf(text).IsZero() {
		t.Errorf("an empty record left %+v", text)
	}
}

// The collector skips values without pointers. It reads objects with pointers much faster if they have at most 512 bytes.
func TestTheCollectorReadsLittleOfARecord(t *testing.T) {
	t.Parallel()

	for _, part := range []reflect.Type{
		reflect.TypeFor[entry](), reflect.TypeFor[node](), reflect.TypeFor[expiry](), reflect.TypeFor[place](),
	} {
		if hasPointers(part) {
			t.Errorf("%v has pointers", part)
		}
	}

	if got := reflect.TypeFor[[textsSize]text]().Size(); got > 512 {
		t.Errorf("%d texts take %d bytes, must take at most 512", textsSize, got)
	}

	if got := reflect.TypeFor[entry]().Size(); got != 168 {
		t.Errorf("an entry takes %d bytes, must take 168: %d of them fill a size class of 8192", got, slabSize)
	}
}

func hasPointers(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Array:
		return hasPointers(of.Elem())
	case reflect.Struct:
		for field := range of.Fields() {
			if hasPointers(field.Type) {
				return true
			}
		}

		return false
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int64:
		return false
	default:
		return true
	}
}
