module github.com/onlyonce-go/onlyonce/canonicaljson

go 1.26.0

require (
	github.com/gowebpki/jcs v1.0.1
	github.com/onlyonce-go/onlyonce v0.0.0-00010101000000-000000000000
	go.uber.org/goleak v1.3.0
)

replace github.com/onlyonce-go/onlyonce => ..
