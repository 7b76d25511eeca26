//go:build unix

package oncekafka_test

const childMode = "ONLYONCE_KAFKA_CHILD"

func childMain(string) int { return 1 }
