// SPDX-License-Identifier: MIT
// A file descriptor with exactly one owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace culprit {

class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : x_fd(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        std::swap(x_fd, other.x_fd);
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() {
        if (x_fd >= 0)
            ::close(x_fd);
    }

    int get() const { return x_fd; }
    explicit operator bool() const { return x_fd >= 0; }

private:
    int x_fd = -1;
};

} // namespace culprit
