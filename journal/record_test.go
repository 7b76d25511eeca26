package journal

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
)

// sample is a file with records of both kinds, and where they end.
func sample() (data []byte, ends []int, calls []Entry) {
	mark := marker{0, 1, 2, 3, 4, 5, 6, 7}
	data = newHeader(mark)
	ends = []int{len(data)}
	sequence := uint64(0)

	record := func(kind byte, body []byte) {
		sequence++
		data = appendRecord(data, mark, sequence, kind, body)
		ends = append(ends, len(data))
	}

	for n := range 4 {
		entry := testEntry(n)
		entry.ID = uint64(n) + 1
		calls = append(calls, entry)
		record(kindCall, encodeCall(&entry))
	}

	record(kindRemoval, appendRemoval(2))
	calls = slices.Delete(calls, 1, 2)

	entry := testEntry(9)
	entry.ID = 9
	record(kindCall, encodeCall(&entry))

	return data, ends, append(calls, entry)
}

func TestAFileIsReadAsItWasWritten(t *testing.T) {
	data, _, calls := sample()

	found, err := readContents(data)
	if err != nil || found.torn != 0 || len(found.damage) != 0 || found.end != len(data) {
		t.Errorf("readContents: %+v, %v", found, err)
	}

	if !reflect.DeepEqual(found.calls, calls) {
		t.Errorf("the calls are\n%v, want\n%v", found.calls, calls)
	}
}

func TestATornLastRecordIsTruncatedWhereverItIsTorn(t *testing.T) {
	whole, ends, _ := sample()

	for length := range whole {
		path := journalPath(t)
		if err := os.WriteFile(path, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}

		j, err := Open(path, withEnvironment(withoutSync()))
		if err != nil {
			t.Fatalf("%d bytes: %v", length, err)
		}

		records := 0
		for _, end := range ends[1:] {
			if end <= length {
				records++
			}
		}

		want := []string{"order-0", "order-1", "order-2", "order-3"}[:min(records, 4)]
		if records >= 5 {
			want = slices.DeleteFunc(want, func(key string) bool { return key == "order-1" })
		}

		if got := keys(j); !slices.Equal(got, want) || len(j.Damage()) > 0 {
			t.Errorf("%d bytes: the calls are %v, want %v; damage %v", length, got, want, j.Damage())
		}

		begin(t, j, 50)
		j.Close()

		if got := keys(open(t, path)); !slices.Equal(got, append(want, "order-50")) {
			t.Errorf("%d bytes, and a call: the calls are %v", length, got)
		}
	}
}

func TestAChangedByteChangesNoCallAndIsReported(t *testing.T) {
	whole, _, calls := sample()

	for at := range whole {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			data := slices.Clone(whole)
			data[at] ^= flip

			found, err := readContents(data)
			if err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}

			missing := len(calls)

			for _, entry := range found.calls {
				switch {
				case slices.ContainsFunc(calls, func(e Entry) bool { return reflect.DeepEqual(e, entry) }):
					missing--
				case entry.ID == 2 && len(found.damage) == 1: // the damage is in its removal
				default:
					t.Errorf("byte %d: %v was never written", at, entry)
				}
			}

			if at < headerSize {
				if missing > 0 || found.copies != 1 {
					t.Errorf("byte %d of the header: %d calls are missing, %d copies are whole", at, missing, found.copies)
				}

				continue
			}

			if missing > 1 || len(found.damage) != 1 || found.torn > 0 {
				t.Errorf("byte %d: %d calls are missing, damage %v, torn %d", at, missing, found.damage, found.torn)
			}
		}
	}
}

func TestADamagedMiddleIsReportedAndTheFileIsKept(t *testing.T) {
	whole, ends, _ := sample()
	damaged := slices.Clone(whole)
	clear(damaged[ends[1]+3 : ends[3]-2]) // the second and the third record

	path := journalPath(t)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}

	j := open(t, path)
	want := []Damage{{Offset: int64(ends[1]), Bytes: int64(ends[3] - ends[1]), Records: 2}}

	if got := j.Damage(); !slices.Equal(got, want) {
		t.Errorf("damage %v, want %v", got, want)
	}

	if got := keys(j); !slices.Equal(got, []string{"order-0", "order-3", "order-9"}) {
		t.Errorf("the calls are %v", got)
	}

	if kept, err := os.ReadFile(path + ".damaged-1"); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("the damaged file is not kept: %v", err)
	}

	j.Close()

	if again := open(t, path); len(again.Damage()) > 0 || len(keys(again)) != 3 {
		t.Errorf("opened again: damage %v, calls %v", again.Damage(), keys(again))
	}
}

func TestARecordInsideARequestIsNoRecord(t *testing.T) {
	whole, ends, _ := sample()
	trojan := testEntry(1)
	trojan.ID, trojan.Request = 1, whole[ends[0]:] // it has the marker of another file

	mark := marker{9, 9, 9, 9, 9, 9, 9, 9}
	data := appendRecord(newHeader(mark), mark, 1, kindCall, encodeCall(&trojan))
	data[headerSize+8] ^= 1 // its sequence number

	found, err := readContents(data)
	if err != nil || len(found.calls) > 0 || len(found.damage) != 1 {
		t.Errorf("readContents: %+v, %v; want no call and one damage", found, err)
	}
}

func TestBytesBetweenTwoRecordsAreDamage(t *testing.T) {
	whole, ends, calls := sample()
	data := slices.Concat(whole[:ends[1]], []byte("garbage"), whole[ends[1]:])

	found, err := readContents(data)
	if err != nil || len(found.calls) != len(calls) {
		t.Errorf("readContents: %+v, %v; want the %d calls", found, err, len(calls))
	}

	if want := []Damage{{Offset: int64(ends[1]), Bytes: 7}}; !slices.Equal(found.damage, want) {
		t.Errorf("the damage is %+v, want %+v: no record is missing", found.damage, want)
	}
}

// Which of the two the removal would mean is not known, and the first may have run.
func TestASecondCallWithTheNumberOfAnotherIsDamage(t *testing.T) {
	mark := marker{1}
	first, second := testEntry(1), testEntry(2)
	first.ID, second.ID = 1, 1

	data := appendRecord(newHeader(mark), mark, 1, kindCall, encodeCall(&first))
	data = appendRecord(data, mark, 2, kindCall, encodeCall(&second))

	found, err := readContents(data)
	if err != nil || len(found.calls) != 1 || found.calls[0].Key != first.Key || len(found.damage) != 1 {
		t.Errorf("readContents: %+v, %v; want the first call and one damage", found, err)
	}
}

// It is not the record that was being written when the process died, because another one is behind it.
func TestAnUnfinishedRecordInFrontOfAnotherIsDamage(t *testing.T) {
	mark := marker{1}
	entry := testEntry(1)
	entry.ID = 1

	unfinished := appendRecord(nil, mark, 1, kindCall, encodeCall(&entry))[:frameSize]
	data := append(newHeader(mark), unfinished...)
	data = appendRecord(data, mark, 2, 9, nil) // of a kind that this build does not know

	found, err := readContents(data)
	if err != nil || found.torn != 0 || len(found.damage) != 1 {
		t.Errorf("readContents: %+v, %v; want one damage, and nothing torn", found, err)
	}
}

func TestARecordThatComesTwiceIsDamage(t *testing.T) {
	whole, ends, calls := sample()

	found, err := readContents(append(whole, whole[ends[1]:ends[2]]...)) // the call that was removed
	if err != nil || len(found.calls) != len(calls) || len(found.damage) != 1 {
		t.Errorf("readContents: %+v, %v; want the %d calls and one damage", found, err, len(calls))
	}
}

// A damaged removal must hide no later call. So the number of an entry is not used again in its file.
func TestACallOfALaterProcessIsNotTakenForOneWhoseRemovalIsDamaged(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)
	call := begin(t, j, 1)
	before, _ := os.Stat(path)

	end(t, call, nil)
	j.Close()
	begin(t, open(t, path), 2)

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	data[before.Size()+frameSize]++ // the body of the removal

	found, err := readContents(data)
	if err != nil || len(found.calls) != 2 || found.calls[1].Key != "order-2" {
		t.Errorf("the calls are %v: %v; want order-1, whose removal is damaged, and order-2", found.calls, err)
	}
}

// Without the repair, damage to the other copy would lose the whole file.
func TestADamagedCopyOfTheHeaderIsRepaired(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)
	begin(t, j, 1)
	j.Close()

	for _, at := range []int{0, copySize} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		data[at]++

		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}

		j, err := Open(path)
		if err != nil {
			t.Fatalf("byte %d is damaged: %v", at, err)
		}

		if got := keys(j); !slices.Equal(got, []string{"order-1"}) {
			t.Errorf("byte %d is damaged: left are %v", at, got)
		}

		j.Close()
	}
}

func TestAFileThatIsNoJournalStaysAsItIs(t *testing.T) {
	for name, text := range map[string]string{
		"short": "hello", "long": string(make([]byte, 4096)), "header": magic + string(make([]byte, 100)),
	} {
		path := journalPath(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		if _, err := Open(path); !errors.Is(err, ErrNotJournal) {
			t.Errorf("%s: Open: %v, want ErrNotJournal", name, err)
		}

		if after, err := os.ReadFile(path); err != nil || string(after) != text {
			t.Errorf("%s: the file has changed: %v", name, err)
		}
	}
}

func FuzzReadContents(f *testing.F) {
	whole, _, _ := sample()
	f.Add(whole, 3, byte(1))
	f.Add(whole[:len(whole)-5], 100, byte(0))
	f.Add([]byte{}, 0, byte(0))

	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		if len(data) > 0 && at >= 0 {
			data = slices.Clone(data)
			data[at%len(data)] ^= flip
		}

		found, err := readContents(data)
		if err != nil {
			return
		}

		if found.end+found.torn > len(data) {
			t.Fatalf("the end is %d and %d are torn, of %d bytes", found.end, found.torn, len(data))
		}

		for i := range found.calls {
			entry := found.calls[i]

			again, err := decodeCall(encodeCall(&entry))
			if err != nil || !reflect.DeepEqual(again, entry) {
				t.Fatalf("%v is read again as %v: %v", entry, again, err)
			}
		}
	})
}
