// Package gorm contains handlers that use https://gorm.io. Their rows and the record of the call commit together.
package gorm

import (
	"context"
	"database/sql"
	"errors"

	"gorm.io/gorm"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Order is a row of the table orders.
type Order struct {
	ID   string `gorm:"primaryKey"`
	Item string
}

// Place is a handler in a single transaction.
func Place(ctx context.Context, db *gorm.DB, order Order) (string, error) {
	if err := Within(ctx, db).Create(&order).Error; err != nil {
		return "", err
	}

	return "placed " + order.ID, nil
}

// Within returns gorm in the single transaction of the run. Do not begin another transaction inside it; gorm does not begin one by itself.
func Within(ctx context.Context, db *gorm.DB) *gorm.DB {
	session := db.Session(&gorm.Session{NewDB: true, Context: ctx, SkipDefaultTransaction: true})
	session.Statement.ConnPool = sqlstore.Tx(ctx)

	return session
}

// PlaceJoined is a handler with its own transaction, which the record joins.
func PlaceJoined(ctx context.Context, db *gorm.DB, order Order) (string, error) {
	answer := "placed " + order.ID

	err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&order).Error; err != nil {
			return err
		}

		own, ok := tx.Statement.ConnPool.(*sql.Tx)
		if !ok {
			return errors.New("gorm has no transaction of database/sql here: do not prepare statements")
		}

		return sqlstore.Join(ctx, own, answer) // the last statement before the commit
	})

	return answer, err
}
