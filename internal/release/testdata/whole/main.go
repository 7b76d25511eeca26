// Command whole links every module of onlyonce that users import.
package main

import (
	_ "github.com/go-sql-driver/mysql"

	_ "github.com/onlyonce-go/onlyonce/canonicaljson"
	_ "github.com/onlyonce-go/onlyonce/connect"
	_ "github.com/onlyonce-go/onlyonce/console"
	_ "github.com/onlyonce-go/onlyonce/consume"
	_ "github.com/onlyonce-go/onlyonce/consume/kafka"
	_ "github.com/onlyonce-go/onlyonce/consume/nats"
	_ "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	_ "github.com/onlyonce-go/onlyonce/gateway"
	_ "github.com/onlyonce-go/onlyonce/interceptor"
	_ "github.com/onlyonce-go/onlyonce/journal"
	_ "github.com/onlyonce-go/onlyonce/oncehttp"
	_ "github.com/onlyonce-go/onlyonce/otel"
	_ "github.com/onlyonce-go/onlyonce/policyfile"
	_ "github.com/onlyonce-go/onlyonce/store/redisstore"
	_ "github.com/onlyonce-go/onlyonce/store/sqlstore"
	_ "github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

func main() {}
