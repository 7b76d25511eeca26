package storetest

import (
	"reflect"

	"github.com/onlyonce-go/onlyonce/store"
)

func capabilityChecks() []check {
	return []check{
		{"what the store has the methods for is reported", capabilitiesReported},
		{"what is reported is there", capabilitiesThere},
		{"they stay the same", capabilitiesStay},
	}
}

// capability is one of the interfaces of store.Capabilities.
type capability struct {
	name string
	// has reports whether a store has the methods.
	has func(s store.Store) bool
	// of returns the reported interface, or nil.
	of func(can *store.Capabilities) any
}

func capabilityInterfaces() []capability {
	return []capability{
		{"Inspector", implements[store.Inspector], func(can *store.Capabilities) any { return can.Inspector }},
		{"Lister", implements[store.Lister], func(can *store.Capabilities) any { return can.Lister }},
		{"Forgetter", implements[store.Forgetter], func(can *store.Capabilities) any { return can.Forgetter }},
		{"Notifier", implements[store.Notifier], func(can *store.Capabilities) any { return can.Notifier }},
		{"Transactional", implements[store.Transactional], func(can *store.Capabilities) any { return can.Transactional }},
	}
}

// same reports whether two interfaces hold the same value.
func same(a, b any) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && (!reflect.ValueOf(a).Comparable() || a == b)
}

func implements[T any](s store.Store) bool {
	_, ok := s.(T)

	return ok
}

func capabilitiesReported(x *env) {
	for _, c := range capabilityInterfaces() {
		if c.has(x.raw) && c.of(&x.can) == nil {
			x.brokenf(capabilities, "%[1]T has the methods of store.%[2]s, and its Capabilities do not report one, so that nobody uses it: "+
				"set the field %[2]s, or remove the methods from %[1]T", x.raw, c.name)
		}
	}

	for _, c := range capabilityInterfaces() {
		if one := c.of(&x.can); one != nil && c.has(x.raw) && !same(one, x.raw) {
			x.brokenf(capabilities, "%[1]T has the methods of store.%[2]s, and its Capabilities report those of %[3]T instead, so that nobody "+
				"uses them: write Capabilities for %[1]T, and set the field %[2]s to the store itself", x.raw, c.name, one)
		}
	}

	if x.can.Transactional != nil && x.can.Inspector == nil {
		x.brokenf(capabilities, "%T reports a Transactional, which is an Inspector too, and no Inspector: set the field Inspector", x.raw)
	}
}

func capabilitiesThere(x *env) {
	reported := x.raw.Capabilities()

	for _, c := range capabilityInterfaces() {
		if one := c.of(&reported); isNil(one) {
			x.brokenf(capabilities, "%T reports a %s that is a nil %T: leave the field nil where the store has none", x.raw, c.name, one)
		}
	}

	if x.can.UnknownRetention < 0 {
		x.brokenf(capabilities, "UnknownRetention is %v: give a positive duration, or 0 for ever", x.can.UnknownRetention)
	}

	if home := x.can.Home; home != nil && !reflect.ValueOf(home).Comparable() {
		x.brokenf(capabilities, "Home is a %T, which cannot be compared: give a pointer or a string", home)
	}

	if x.can.Part != nil {
		together(contenders, func(int) { x.can.Part(newKey()) }) // for the race detector
	}
}

// usable removes capabilities that are reported and not usable, so that only one check fails because of them.
func usable(can store.Capabilities) store.Capabilities {
	if isNil(can.Inspector) {
		can.Inspector = nil
	}

	if isNil(can.Lister) {
		can.Lister = nil
	}

	if isNil(can.Forgetter) {
		can.Forgetter = nil
	}

	if isNil(can.Notifier) {
		can.Notifier = nil
	}

	if isNil(can.Transactional) {
		can.Transactional = nil
	}

	return can
}

// isNil reports whether an interface holds a nil pointer or the like.
func isNil(one any) bool {
	v := reflect.ValueOf(one)

	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan, reflect.Slice:
		return v.IsNil()
	default:
		return false
	}
}

func capabilitiesStay(x *env) {
	x.start(x.newClaim())

	again := usable(x.raw.Capabilities())

	for _, c := range capabilityInterfaces() {
		if first, second := c.of(&x.can) != nil, c.of(&again) != nil; first != second {
			x.brokenf(capabilities, "%s is reported: first %t, then %t", c.name, first, second)
		}
	}

	if x.can.Immediate != again.Immediate || x.can.Bounded != again.Bounded || x.can.UnknownRetention != again.UnknownRetention ||
		(x.can.Part == nil) != (again.Part == nil) {
		x.brokenf(capabilities, "they changed from %+v to %+v", x.can, again)
	}

	if home := x.can.Home; home != nil && reflect.ValueOf(home).Comparable() && home != again.Home {
		x.brokenf(capabilities, "Home changed from %v to %v", home, again.Home)
	}
}
