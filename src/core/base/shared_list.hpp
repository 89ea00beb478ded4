// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A list that many hold and few change: copies share the elements until one of them is edited.
///
/// Cost    Copying is O(1); edit() copies the elements where they are shared. Not for use by several
///         threads at once.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace dfaas {

template <class T>
class SharedList {
 public:
  using value_type = T;
  using const_iterator = const T*;

  SharedList() = default;
  SharedList(std::initializer_list<T> elements) : elements_(make(std::vector<T>(elements))) {}
  explicit SharedList(std::vector<T> elements) : elements_(make(std::move(elements))) {}

  [[nodiscard]] const T* begin() const { return elements_ ? elements_->data() : nullptr; }
  [[nodiscard]] const T* end() const { return begin() + size(); }
  [[nodiscard]] std::size_t size() const { return elements_ ? elements_->size() : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] const T& operator[](std::size_t at) const { return (*elements_)[at]; }

  /// Do both hold the very same elements? Quicker than ==, and true only if that is.
  [[nodiscard]] bool shares_with(const SharedList& other) const {
    return elements_ == other.elements_;
  }

  /// The elements of this copy alone.
  std::vector<T>& edit() {
    if (!elements_) {
      elements_ = make({});
    } else if (elements_.use_count() > 1) {
      elements_ = make(*elements_);
    }
    return *elements_;
  }

  friend bool operator==(const SharedList& a, const SharedList& b) {
    if (a.shares_with(b)) return true;
    if (a.size() != b.size()) return false;
    for (std::size_t at = 0; at < a.size(); ++at) {
      if (!(a[at] == b[at])) return false;
    }
    return true;
  }

 private:
  static std::shared_ptr<std::vector<T>> make(std::vector<T> elements) {
    return std::make_shared<std::vector<T>>(std::move(elements));
  }

  std::shared_ptr<std::vector<T>> elements_;
};

}  // namespace dfaas
