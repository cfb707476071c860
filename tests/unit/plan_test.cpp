// SPDX-License-Identifier: MIT
// What runs on which kernel, and the sentence that says what is lost.
#include <algorithm>
#include <string>

#include "signals/capture.h"
#include "support/catch.h"

using namespace culprit;

namespace {

/// A kernel that has every hook, with as many arguments as any signal hopes for.
Features full_kernel() {
    Features features;
    features.release = "6.18.0";
    features.has_btf = true;
    for (const Signal* signal : all_signals())
        for (const Hook& hook : signal->hooks)
            features.hooks[hook.tracepoint] = 8;
    return features;
}

const Signal& signal(std::string_view name) {
    for (const Signal* one : all_signals())
        if (one->name == name)
            return *one;
    throw std::invalid_argument("no such signal");
}

bool mentions(const std::vector<std::string>& sentences, std::string_view words) {
    return std::ranges::any_of(
        sentences, [&](const std::string& s) { return s.find(words) != std::string::npos; });
}

/// Of a run on a kernel that has everything.
bool is_ordinary(const Hook& hook) {
    return !hook.alone && !hook.instead_of;
}

std::size_t attached_hooks(const Signal& signal) {
    return static_cast<std::size_t>(std::ranges::count_if(signal.hooks, is_ordinary));
}

bool has_stand_in(const Signal& signal, const Hook& hook) {
    return std::ranges::any_of(signal.hooks, [&](const Hook& other) {
        return other.instead_of && std::string_view(other.instead_of) == hook.tracepoint;
    });
}

} // namespace

TEST_CASE("hooks for a look without any attached, and those that stand in, are the last ones",
          "[plan_test]") {
    for (const Signal* one : all_signals()) {
        CAPTURE(one->name);
        CHECK(std::ranges::is_partitioned(one->hooks, is_ordinary));
        CHECK(plan_signal(*one, full_kernel(), true).hooks.size() ==
              attached_hooks(*one) +
                  static_cast<std::size_t>(std::ranges::count_if(one->hooks, &Hook::alone)));
    }
    CHECK(attached_hooks(signal("socket")) + 1 == signal("socket").hooks.size());
    Features features = full_kernel();
    features.hooks.erase("iter/task_file");
    CHECK(plan_signal(signal("socket"), features).state == State::kOn);
    CHECK(mentions(plan_signal(signal("socket"), features, true).why, "no owner"));
}

TEST_CASE("a hook stands in for one that is absent, and only then", "[plan_test]") {
    const Signal& qdisc = signal("qdisc");
    CHECK(plan_signal(qdisc, full_kernel()).hooks.size() + 1 == qdisc.hooks.size());
    Features features = full_kernel();
    features.hooks.erase("qdisc_enqueue");
    const SignalStatus status = plan_signal(qdisc, features);
    CHECK(status.state == State::kDegraded);
    CHECK(mentions(status.why, "no hook qdisc_enqueue, net_dev_queue stands in"));
    CHECK(status.hooks.back().arguments == 8);
    features.hooks.erase("net_dev_queue");
    CHECK(plan_signal(qdisc, features).state == State::kOff);
    CHECK(mentions(plan_signal(qdisc, features).why, "this kernel has no hook qdisc_enqueue"));
}

TEST_CASE("a hook that is absent has its place taken", "[plan_test]") {
    Features features = full_kernel();
    features.hooks.erase("sock_recv_length");
    const SignalStatus status = plan_signal(signal("dns"), features);
    CHECK(status.state == State::kDegraded);
    CHECK(mentions(status.why, "no hook sock_recv_length"));
    CHECK(status.hooks.back().tracepoint == "consume_skb");
    features.hooks.erase("consume_skb");
    CHECK(plan_signal(signal("dns"), features).state == State::kOff);
}

TEST_CASE("a kernel with everything turns every signal on without reservations", "[plan_test]") {
    for (const Signal* one : all_signals()) {
        const SignalStatus status = plan_signal(*one, full_kernel());
        CAPTURE(status.name);
        CHECK(status.name == one->name);
        CHECK(status.state == State::kOn);
        CHECK(status.why.empty());
        REQUIRE(status.hooks.size() == attached_hooks(*one));
        for (std::size_t i = 0; i < status.hooks.size(); i++) {
            CHECK(status.hooks[i].tracepoint == one->hooks[i].tracepoint);
            CHECK(status.hooks[i].arguments == 8);
            CHECK_FALSE(status.hooks[i].attached);
        }
    }
}

TEST_CASE("without BTF every signal with hooks is off and says what kernel is needed",
          "[plan_test]") {
    Features features;
    features.btf_error = "No such file or directory";
    for (const Signal* one : all_signals()) {
        if (!one->elf) {
            CHECK(plan_signal(*one, features).state == State::kOn);
            continue;
        }
        const SignalStatus status = plan_signal(*one, features);
        CAPTURE(status.name);
        CHECK(status.state == State::kOff);
        REQUIRE(status.why.size() == 1);
        CHECK(mentions(status.why, "BTF"));
        CHECK(mentions(status.why, "CONFIG_DEBUG_INFO_BTF"));
        CHECK(mentions(status.why, "No such file or directory"));
    }
}

TEST_CASE("a missing required hook turns off the signals that need it and no other",
          "[plan_test]") {
    for (const Signal* one : all_signals())
        for (const Hook& hook : one->hooks) {
            if (!hook.required || hook.instead_of || has_stand_in(*one, hook))
                continue;
            Features features = full_kernel();
            features.hooks.erase(hook.tracepoint);
            for (const Signal* any : all_signals()) {
                const SignalStatus status = plan_signal(*any, features);
                CAPTURE(hook.tracepoint, status.name);
                const auto has = [&](bool required) {
                    return std::ranges::any_of(any->hooks, [&](const Hook& h) {
                        return is_ordinary(h) && h.required == required &&
                               std::string_view(h.tracepoint) == hook.tracepoint;
                    });
                };
                CHECK(status.state == (has(true)    ? State::kOff
                                       : has(false) ? State::kDegraded
                                                    : State::kOn));
                CHECK(mentions(status.why, hook.tracepoint) == (has(true) || has(false)));
            }
        }
}

TEST_CASE("a missing optional hook degrades its signal and names what is lost", "[plan_test]") {
    for (const Signal* one : all_signals())
        for (const Hook& hook : one->hooks) {
            if (hook.required)
                continue;
            Features features = full_kernel();
            features.hooks.erase(hook.tracepoint);
            const SignalStatus status = plan_signal(*one, features, hook.alone);
            CAPTURE(hook.tracepoint);
            CHECK(status.state == State::kDegraded);
            CHECK(mentions(status.why, hook.tracepoint));
            CHECK(mentions(status.why, hook.without));
        }
}

TEST_CASE("a hook with fewer arguments degrades its signal and names what is lost", "[plan_test]") {
    for (const Signal* one : all_signals())
        for (const Hook& hook : one->hooks)
            for (const Argument& argument : hook.arguments) {
                Features features = full_kernel();
                features.hooks[hook.tracepoint] = argument.count - 1;
                const SignalStatus status = plan_signal(*one, features);
                CAPTURE(hook.tracepoint, argument.count);
                CHECK(status.state == State::kDegraded);
                CHECK(mentions(status.why, argument.without));
                CHECK_FALSE(mentions(status.gains, argument.brings));
                features.hooks[hook.tracepoint] = argument.count;
                CHECK(mentions(plan_signal(*one, features).gains, argument.brings));
            }
}

TEST_CASE("a signal that lives by probe reads is off under lockdown and says so", "[plan_test]") {
    Features features = full_kernel();
    features.lockdown = "confidentiality";
    const SignalStatus status = plan_signal(signal("listen"), features);
    CHECK(status.state == State::kOff);
    CHECK(mentions(status.why, "lockdown=confidentiality"));
    CHECK(plan_signal(signal("connection"), features).state == State::kOn);
    const SignalStatus neigh = plan_signal(signal("neigh"), features);
    CHECK(neigh.state == State::kDegraded);
    CHECK(mentions(neigh.why, "lockdown=confidentiality keeps neigh_update from reading"));
}

TEST_CASE("each generation of kfree_skb brings what it brings", "[plan_test]") {
    Features features = full_kernel();
    features.hooks["kfree_skb"] = 2; // before 5.17
    CHECK(plan_signal(signal("drop"), features).why.size() == 2);
    features.hooks["kfree_skb"] = 3;
    const SignalStatus reasons = plan_signal(signal("drop"), features);
    CHECK(reasons.why.size() == 1);
    CHECK(mentions(reasons.gains, "drop reasons"));
    features.hooks["kfree_skb"] = 4;
    CHECK(plan_signal(signal("drop"), features).state == State::kOn);
}

TEST_CASE("the hooks looked up are those of the signals, iterators too", "[plan_test]") {
    const auto wanted = wanted_hooks();
    CHECK(std::ranges::count(wanted, "kfree_skb") == 1);
    CHECK(std::ranges::count(wanted, "inet_sock_set_state") == 1);
    CHECK(std::ranges::count(wanted, "iter/task_file") == 1);
    CHECK(std::ranges::count(wanted, "iter/bpf_map_elem") == 1);
}
