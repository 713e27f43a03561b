#include "base/text.h"
#include "spec/name.h"
#include "spec/problem.h"
#include "spec/run.h"

namespace skarv {
namespace {

MaybeProblem wrong(const char* path, std::string message, std::string hint) {
  return Problem{path, std::move(message), std::move(hint)};
}

// Rule 13 of the protocol: what equals data parallel leaves no choice.
MaybeProblem problem_of_gradient_mode(const ExchangeSettings& exchange) {
  const std::string why = "mode \"gradient\" is exact: ";
  if (exchange.num_fragments != 1) {
    return wrong("exchange.fragments", why + "it has one fragment", "set fragments = 1");
  }
  if (exchange.overlap_steps != 0) {
    return wrong("exchange.overlap_steps", why + "nothing overlaps", "set overlap_steps = 0");
  }
  if (exchange.inner_steps != 1) {
    return wrong("exchange.inner_steps", why + "islands exchange after every step",
                 "set inner_steps = 1");
  }
  if (exchange.upload != CodecKind::kIdentity || exchange.download != CodecKind::kIdentity) {
    return wrong(exchange.upload != CodecKind::kIdentity ? "exchange.upload" : "exchange.download",
                 why + "it cannot be compressed", "set upload and download to \"identity\"");
  }
  if (exchange.contributions != 0) {
    return wrong("exchange.contributions", why + "it needs every island",
                 "set contributions = 0, which means all");
  }
  return std::nullopt;
}

MaybeProblem problem_of_exchange(const ExchangeSettings& exchange, int64_t steps) {
  if (exchange.mode == ExchangeMode::kGradient) return problem_of_gradient_mode(exchange);
  const int64_t inner = exchange.inner_steps, fragments = exchange.num_fragments;
  if (inner < 1 || fragments < 1 || inner % fragments != 0) {
    return wrong("exchange.inner_steps",
                 cat("inner_steps = ", inner, " is no multiple of fragments = ", fragments),
                 cat("set inner_steps to ",
                     std::max<int64_t>(1, inner / std::max<int64_t>(1, fragments)) * fragments));
  }
  const int64_t per_round = inner / fragments;
  if (exchange.overlap_steps < 0 || exchange.overlap_steps >= per_round) {
    return wrong("exchange.overlap_steps",
                 cat("overlap_steps = ", exchange.overlap_steps, " does not fit into a round of ",
                     per_round, " steps (inner_steps / fragments)"),
                 cat("set overlap_steps to at most ", per_round - 1));
  }
  if (per_round == 1 && steps > 1) {
    return wrong("exchange.inner_steps",
                 "a round of one local step has no step to take the merged weights in",
                 "set exchange.mode = \"gradient\" to merge every step, or at least 2 inner_steps "
                 "a fragment");
  }
  if (per_round > steps) {
    return wrong("exchange.inner_steps",
                 cat("a round takes ", per_round, " steps, the run has ", steps),
                 "set fewer inner_steps, more fragments or more steps");
  }
  return std::nullopt;
}

MaybeProblem problem_of_ranges(const Run& run) {
  const ExchangeSettings& exchange = run.exchange;
  const struct {
    const char* path;
    double value, least, most;
  } ranges[] = {
      {"optimizer.learning_rate", run.optimizer.learning_rate, 0, 100},
      {"optimizer.beta1", run.optimizer.beta1, 0, 0.999999},
      {"optimizer.beta2", run.optimizer.beta2, 0, 0.99999999},
      {"optimizer.epsilon", run.optimizer.epsilon, 1e-30, 1},
      {"optimizer.weight_decay", run.optimizer.weight_decay, 0, 100},
      {"optimizer.clip", run.optimizer.clip, 0, 1e9},
      {"optimizer.final_fraction", run.optimizer.final_fraction, 0, 1},
      {"optimizer.decay_fraction", run.optimizer.decay_fraction, 0, 1},
      {"exchange.learning_rate", exchange.learning_rate, 0, 100},
      {"exchange.momentum", exchange.momentum, 0, 0.999999},
      {"exchange.alpha", exchange.alpha, 0, 1},
      {"exchange.residual_decay", exchange.residual_decay, 0, 1},
      {"exchange.clip_to_median", exchange.clip_to_median, 0, 1e9},
      {"exchange.contributions", double(exchange.contributions), 0, 1e6},
      {"exchange.min_contributors", double(exchange.min_contributors), 1, 1e6},
      {"exchange.durable_copies", double(exchange.durable_copies), 1, 1e6},
      {"exchange.detection", exchange.detection_seconds, 0.01, 1e6},
      {"exchange.round_budget", exchange.round_budget_seconds, 0.01, 1e6},
      {"run.steps", double(run.steps), 1, 1e12},
      {"run.global_batch", double(run.global_batch), 1, 1e9},
      {"run.checkpoint_every_rounds", double(run.checkpoint_every_rounds), 0, 1e9},
      {"data.validation_samples", double(run.data.validation_samples), 0, 1e9},
  };
  for (const auto& [path, value, least, most] : ranges) {
    if (!(value >= least && value <= most)) {
      return wrong(path, cat(path, " is ", value, ", outside ", least, " to ", most),
                   "choose a value inside");
    }
  }
  return std::nullopt;
}

}  // namespace

MaybeProblem problem_of(const Run& run) {
  Model model = run.model;
  if (model.vocabulary == 0) model.vocabulary = 1;  // known once the tokenizer is
  if (MaybeProblem problem = problem_of(model)) {
    problem->path = "model." + problem->path;
    return problem;
  }
  if (const MaybeProblem problem = problem_of_run_name("run.name", run.name)) return problem;
  if (const MaybeProblem problem = problem_of_ranges(run)) return problem;
  if (run.exchange.num_fragments > model.num_blocks) {
    return wrong("exchange.fragments",
                 cat("fragments = ", run.exchange.num_fragments, " is more than the ",
                     model.num_blocks, " blocks of the model: some would be empty"),
                 cat("set fragments to at most ", model.num_blocks));
  }
  if (const MaybeProblem problem = problem_of_exchange(run.exchange, run.steps)) return problem;
  // An attempt is given up after twice the detection time (wan/round/timers.cc).
  if (run.exchange.round_budget_seconds < 3 * run.exchange.detection_seconds) {
    return wrong("exchange.round_budget",
                 cat("round_budget = ", run.exchange.round_budget_seconds,
                     " s is not three times detection = ", run.exchange.detection_seconds, " s"),
                 cat("a dead island has to be noticed within a round: set round_budget to at least ",
                     3 * run.exchange.detection_seconds, " s"));
  }
  if (run.optimizer.warmup_steps < 0 || run.optimizer.warmup_steps > run.steps) {
    return wrong("optimizer.warmup_steps",
                 cat("warmup_steps = ", run.optimizer.warmup_steps,
                     " is not between 0 and steps = ", run.steps),
                 "shorten the warm-up or lengthen the run");
  }
  return std::nullopt;
}

Status check_run(const Run& run, const std::string& origin) {
  return to_status(problem_of(run), origin);
}

}  // namespace skarv
