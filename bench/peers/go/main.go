// A rental in the ordinary way on Temporal's Go SDK, behind a small HTTP API.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "peer-go"

// Order is what is asked for.
type Order struct {
	ID       string `json:"id"`
	Book     int64  `json:"book"`
	Customer string `json:"customer"`
}

// Steps are taken against Postgres and the payment provider. Each may be repeated.
type Steps struct {
	database *pgxpool.Pool
	provider string
	http     *http.Client
}

func (s *Steps) Show(ctx context.Context, order Order, stage string) error {
	const sql = "insert into rentals (id, book, stage) values ($1, $2, $3) on conflict (id) do update set stage = excluded.stage"
	_, err := s.database.Exec(ctx, sql, order.ID, order.Book, stage)
	return err
}

func (s *Steps) Hold(ctx context.Context, order Order) (bool, error) {
	const sql = "update books set rental = $1 where id = $2 and (rental is null or rental = $1)"
	done, err := s.database.Exec(ctx, sql, order.ID, order.Book)
	return done.RowsAffected() == 1, err
}

func (s *Steps) Confirm(ctx context.Context, order Order) error {
	_, err := s.database.Exec(ctx, "update books set is_lent = true where rental = $1", order.ID)
	return err
}

func (s *Steps) Release(ctx context.Context, order Order) error {
	_, err := s.database.Exec(ctx, "update books set rental = null, is_lent = false where rental = $1", order.ID)
	return err
}

func (s *Steps) Tell(ctx context.Context, order Order, about string) error {
	_, err := s.database.Exec(ctx, "insert into messages values ($1, $2) on conflict do nothing", order.ID, about)
	return err
}

func (s *Steps) Charge(ctx context.Context, order Order) (bool, error) {
	body := map[string]any{"amount_minor": 3000, "currency": "KRW", "customer": order.Customer}
	return s.post(ctx, "/charges", order.ID, body)
}

func (s *Steps) Refund(ctx context.Context, order Order) error {
	_, err := s.post(ctx, "/charges/"+order.ID+"/refund", "", nil)
	return err
}

// post is false where the provider declines.
func (s *Steps) post(ctx context.Context, path, key string, body any) (bool, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.provider+path, bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	answer, err := s.http.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusPaymentRequired:
		return false, nil
	case answer.StatusCode >= 300:
		return false, fmt.Errorf("the provider answered %d", answer.StatusCode)
	}
	return true, nil
}

// Rental is the story.
func Rental(ctx workflow.Context, order Order) error {
	retries := &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 5 * time.Second, RetryPolicy: retries})
	near := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 5 * time.Second, RetryPolicy: retries})
	var steps *Steps
	stage, verdict, isBack := "requested", "", false

	err := workflow.SetUpdateHandler(ctx, "held", func(ctx workflow.Context) (string, error) {
		err := workflow.Await(ctx, func() bool { return stage != "requested" })
		return stage, err
	})
	if err != nil {
		return err
	}
	decide := func(_ workflow.Context, act string) error { verdict = act; return nil }
	if err = workflow.SetUpdateHandler(ctx, "decide", decide); err != nil {
		return err
	}
	bringBack := func(workflow.Context) error { isBack = true; return nil }
	if err = workflow.SetUpdateHandler(ctx, "return", bringBack); err != nil {
		return err
	}

	reach := func(to string) error {
		if err := workflow.ExecuteLocalActivity(near, steps.Show, order, to).Get(near, nil); err != nil {
			return err
		}
		stage = to
		return nil
	}
	turnBack := func(ctx workflow.Context, to string, paid bool) error {
		if paid {
			if err := workflow.ExecuteActivity(ctx, steps.Refund, order).Get(ctx, nil); err != nil {
				return err
			}
		}
		if err := workflow.ExecuteActivity(ctx, steps.Release, order).Get(ctx, nil); err != nil {
			return err
		}
		return reach(to)
	}

	if err := reach("requested"); err != nil {
		return err
	}
	var ok bool
	if err := workflow.ExecuteActivity(ctx, steps.Hold, order).Get(ctx, &ok); err != nil {
		return err
	}
	if !ok {
		return reach("taken")
	}
	if err := reach("held"); err != nil {
		return err
	}
	if err := workflow.ExecuteActivity(ctx, steps.Charge, order).Get(ctx, &ok); err != nil {
		return err
	}
	if !ok {
		return turnBack(ctx, "declined", false)
	}
	if err := reach("paid"); err != nil {
		return err
	}
	told := []workflow.Future{workflow.ExecuteActivity(ctx, steps.Tell, order, "paid")}
	if err := workflow.Await(ctx, func() bool { return verdict != "" }); err != nil {
		// Cancelled while it waits.
		rest, _ := workflow.NewDisconnectedContext(ctx)
		return turnBack(rest, "cancelled", true)
	}
	if verdict != "approve" {
		return turnBack(ctx, "rejected", true)
	}
	if err := reach("approved"); err != nil {
		return err
	}
	told = append(told, workflow.ExecuteActivity(ctx, steps.Confirm, order), workflow.ExecuteActivity(ctx, steps.Tell, order, "approved"))
	if err := workflow.Await(ctx, func() bool { return isBack }); err != nil {
		return err
	}
	if err := workflow.ExecuteActivity(ctx, steps.Release, order).Get(ctx, nil); err != nil {
		return err
	}
	told = append(told, workflow.ExecuteActivity(ctx, steps.Tell, order, "returned"))
	for _, future := range told {
		if err := future.Get(ctx, nil); err != nil {
			return err
		}
	}
	return reach("returned")
}

func main() {
	ctx := context.Background()
	database, err := pgxpool.New(ctx, os.Getenv("PEER_DATABASE_URL")+"?pool_max_conns=20")
	check(err)
	engine, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS"), Namespace: os.Getenv("TEMPORAL_NAMESPACE")})
	check(err)
	steps := &Steps{database, os.Getenv("HOLDFAST_SIMULATOR_URL"), &http.Client{
		Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100},
	}}
	work := worker.New(engine, queue, worker.Options{})
	work.RegisterWorkflow(Rental)
	work.RegisterActivity(steps)
	check(work.Start())

	http.HandleFunc("POST /rentals", func(w http.ResponseWriter, r *http.Request) {
		var order Order
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		start := engine.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
			ID: "go/" + order.ID, TaskQueue: queue, WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, Rental, order)
		update := client.UpdateWorkflowOptions{UpdateName: "held", WaitForStage: client.WorkflowUpdateStageCompleted}
		held, err := engine.UpdateWithStartWorkflow(r.Context(), client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: start, UpdateOptions: update,
		})
		var stage string
		if err == nil {
			err = held.Get(r.Context(), &stage)
		}
		status := http.StatusCreated
		if stage == "taken" {
			status = http.StatusConflict
		}
		reply(w, status, stage, err)
	})
	http.HandleFunc("GET /rentals/{id}", func(w http.ResponseWriter, r *http.Request) {
		var stage string
		err := database.QueryRow(r.Context(), "select stage from rentals where id = $1", r.PathValue("id")).Scan(&stage)
		if err == pgx.ErrNoRows {
			err = nil
		}
		reply(w, http.StatusOK, stage, err)
	})
	http.HandleFunc("POST /rentals/{id}/{act}", func(w http.ResponseWriter, r *http.Request) {
		name, arguments := "decide", []any{r.PathValue("act")}
		if r.PathValue("act") == "return" {
			name, arguments = "return", nil
		}
		done, err := engine.UpdateWorkflow(r.Context(), client.UpdateWorkflowOptions{
			WorkflowID: "go/" + r.PathValue("id"), UpdateName: name, Args: arguments, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			err = done.Get(r.Context(), nil)
		}
		reply(w, http.StatusOK, "", err)
	})
	check(http.ListenAndServe("127.0.0.1:"+os.Getenv("PEER_PORT"), nil))
}

func reply(w http.ResponseWriter, status int, stage string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"stage": stage})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
