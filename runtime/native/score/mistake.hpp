// What the user gave and cannot be used, as a message for a person: what, found, allowed, next step.
#pragma once
#include <stdexcept>
#include <string>

namespace mcore {

class Mistake : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

inline void demand(bool fits, const std::string& otherwise) {
    if (!fits) throw Mistake(otherwise);
}

}  // namespace mcore
