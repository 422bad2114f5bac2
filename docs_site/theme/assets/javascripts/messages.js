// The field above the messages: shows the rows that a typed or pasted text could be, with anything in place of <name> and ….
document.addEventListener("DOMContentLoaded", () => {
  const field = document.getElementById("message-search")
  if (!field) return
  const simple = text => text.toLowerCase().replace(/['"`\s]+/g, " ").trim()
  const rows = [...document.querySelectorAll(".messages tbody tr")].map(row => {
    const message = row.cells[0].cloneNode(true)
    message.querySelectorAll("var").forEach(filled => filled.replaceWith("…"))
    const fixed = message.textContent.split("…").map(simple).filter(part => part.length > 3)
    return {row, text: simple(row.textContent), fixed}
  })
  const sections = [...document.querySelectorAll(".messages")].map(shown => {
    let heading = shown.previousElementSibling
    while (heading && heading.tagName !== "H2") heading = heading.previousElementSibling
    return {shown, heading}
  })
  const count = document.getElementById("message-count")
  const filter = () => {
    const typed = simple(field.value)
    const words = typed.split(" ")
    const could = ({text, fixed}) =>
      words.every(word => text.includes(word)) || (fixed.length > 0 && fixed.every(part => typed.includes(part)))
    let number = 0
    for (const entry of rows) number += !(entry.row.hidden = !could(entry))
    for (const {shown, heading} of sections) {
      const empty = !shown.querySelector("tbody tr:not([hidden])")
      shown.hidden = empty
      if (heading) heading.hidden = empty
    }
    count.textContent = typed ? `${number} of ${rows.length} messages` : `${rows.length} messages`
  }
  field.addEventListener("input", filter)
  filter()
})
