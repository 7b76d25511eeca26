package main

import "testing"

// BenchmarkServer measures the server interceptor without a network, as the table "Server interceptor alone" does.
func BenchmarkServer(b *testing.B) {
	const calls = 4_000

	variants := serverVariants(b.Context(), 10_000, calls)
	for i := range variants {
		b.Run(variants[i].name, func(b *testing.B) {
			b.ReportAllocs()

			var call func(i int) error

			for n := range b.N {
				if n%calls == 0 {
					b.StopTimer()

					var err error
					if call, err = variants[i].start(); err != nil {
						b.Fatal(err)
					}

					b.StartTimer()
				}

				if err := call(n % calls); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
