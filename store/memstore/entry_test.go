package memstore

import (
	"reflect"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// fill gives every field of a value another value that is not zero. It fails at kinds that it does not know, so that a
// new field cannot be forgotten.
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

func TestAnEntryFitsASizeClassOfTheRuntime(t *testing.T) {
	t.Parallel()

	if got := reflect.TypeFor[entry]().Size(); got != 176 {
		t.Errorf("an entry takes %d bytes, must take 176: the next size class is 192", got)
	}
}

func TestAnEntryKeepsEveryFieldOfARecord(t *testing.T) {
	t.Parallel()

	var (
		want store.Record
		next uint64
		ent  entry
	)

	fill(t, reflect.ValueOf(&want).Elem(), "Record", &next)

	for i := range reflect.TypeFor[store.Record]().NumField() {
		if reflect.ValueOf(want).Field(i).IsZero() {
			t.Fatalf("%s was not filled", reflect.TypeFor[store.Record]().Field(i).Name)
		}
	}

	ent.set(&want)

	var got store.Record

	ent.read(&got)

	if !reflect.DeepEqual(got, want) {
		t.Errorf("kept as\n%+v, must be\n%+v", got, want)
	}

	if got, want := ent.size(), sizeOf(&want); got != want {
		t.Errorf("the entry has size %d, the record %d", got, want)
	}

	// And all of it is overwritten.
	ent.set(&store.Record{})

	if !reflect.ValueOf(ent).IsZero() {
		t.Errorf("an empty record left %+v", ent)
	}
}
