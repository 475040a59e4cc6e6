package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/XSAM/otelsql"
	_ "github.com/ncruces/go-sqlite3/driver" // SQLite without cgo
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

const schema = `
CREATE TABLE books (
	id    INTEGER PRIMARY KEY,
	title TEXT NOT NULL,
	shelf TEXT NOT NULL,
	cents INTEGER NOT NULL,
	stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE TABLE orders (id INTEGER PRIMARY KEY, book INTEGER NOT NULL, copies INTEGER NOT NULL);
INSERT INTO books VALUES
	(1, 'The Lighthouse', 'novels', 1250, 1000000),
	(2, 'Atlas of Rivers', 'maps', 11000, 1000000),
	(3, 'Out of Print', 'novels', 900, 0),
	(4, 'The Complete Edition', 'sets', 250000, 1000000);`

// store is the shop's database, in memory.
type store struct{ db *sql.DB }

type book struct {
	ID    int64
	Title string
	Cents int64
}

var errNoBook = errors.New("no such book")

func openStore(ctx context.Context, tel telemetry) (*store, error) {
	db, err := otelsql.Open("sqlite3", ":memory:",
		otelsql.WithTracerProvider(tel.provider),
		otelsql.WithAttributes(semconv.DBSystemNameSQLite, attribute.String("db.namespace", "shop")),
		otelsql.WithSpanOptions(otelsql.SpanOptions{DisableErrSkip: true})) // a driver's way to say "prepare it first"
	if err != nil {
		return nil, fmt.Errorf("cannot open the database: %w", err)
	}
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot create the tables: %w", err), db.Close())
	}
	return &store{db}, nil
}

// book returns errNoBook if there is none.
func (s *store) book(ctx context.Context, id int64) (b book, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT id, title, cents FROM books WHERE id = ?", id).Scan(&b.ID, &b.Title, &b.Cents)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoBook
	}
	return b, err
}

func (s *store) shelf(ctx context.Context, name string) (titles []string, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT title FROM books WHERE shelf = ? ORDER BY id", name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var title string
		if err := rows.Scan(&title); err != nil {
			return nil, err
		}
		titles = append(titles, title)
	}
	return titles, rows.Err()
}

// reserve takes copies of a book out of the stock, and notes the order.
func (s *store) reserve(ctx context.Context, id, copies int64) (order int64, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE books SET stock = stock - ? WHERE id = ?", copies, id); err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	row, err := tx.ExecContext(ctx, "INSERT INTO orders (book, copies) VALUES (?, ?)", id, copies)
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	order, _ = row.LastInsertId() // SQLite always has it
	return order, tx.Commit()
}

// release undoes reserve.
func (s *store) release(ctx context.Context, order, id, copies int64) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE books SET stock = stock + ? WHERE id = ?", copies, id); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM orders WHERE id = ?", order); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
