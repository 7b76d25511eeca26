module github.com/onlyonce-go/onlyonce/connect

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/onlyonce-go/onlyonce v0.0.0-00010101000000-000000000000
	go.uber.org/goleak v1.3.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa
	google.golang.org/grpc v1.83.2
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/onlyonce-go/onlyonce => ..
