//go:build unix

package oncerabbit_test

const childMode = "ONLYONCE_RABBIT_CHILD"

func childMain(string) int { return 1 }
