# table.awk KERNEL.lines...: what each kernel gives, as /status has it; program by kernel, in instructions that the verifier
# looked at; and scenario by kernel, as drop_zoo told it.
{ sub("\r$", "") }
FNR == 1 { name = FILENAME; sub(".*/", "", name); sub("\\.lines$", "", name); kernels[++count] = name }
/^GIVES / { put("given", $2, $3 == "true" ? "yes" : $3 == "false" ? "-" : $3) }
/^VERIFIER (ok|refused) / { put("program", $3, $2 == "ok" ? $4 : "-") }
/^ZOO SCENARIO / { put("scenario", rest(4), $3) }
/^ZOO ABSENT / { note(rest(3)) }

function rest(field,   text, k) {
  text = $0
  for (k = 1; k < field; k++) sub("^[^ ]+ ", "", text)
  return text
}

function put(table, title, mark) {
  if (!((table, title) in known)) {
    known[table, title]
    titles[table, ++rows[table]] = title
    if (length(title) > width) width = length(title)
  }
  marks[table, title, name] = mark
}

function note(text) {
  if (!(text in noted)) {
    noted[text]
    notes[++absent] = text
  }
}

function print_table(table,   row, k, title) {
  if (!rows[table]) return
  printf "\n%-*s", width, table
  for (k = 1; k <= count; k++) printf "  %7s", kernels[k]
  print ""
  for (row = 1; row <= rows[table]; row++) {
    title = titles[table, row]
    printf "%-*s", width, title
    for (k = 1; k <= count; k++) printf "  %7s", (table, title, kernels[k]) in marks ? marks[table, title, kernels[k]] : "?"
    print ""
  }
}

END {
  print_table("given")
  print_table("program")
  if (rows["program"]) print "Instructions looked at, of a million allowed. `-`: does not fit this kernel; `?`: it does not say how many."
  print_table("scenario")
  if (rows["scenario"]) print "`+` right; `X` wrong; a number: right, but for so many fields that this kernel cannot tell; `-` cannot be:"
  for (row = 1; row <= absent; row++) print "  " notes[row]
}
