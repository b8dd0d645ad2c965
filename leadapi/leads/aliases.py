"""Labels that third-party forms and files use for the fields of a lead, in the eight languages of the pages."""

import re
import unicodedata
from collections.abc import Mapping

from leadapi.leads.models import IMPORTED, SENT

# Parts of a name, for forms and files without a field for the full name. NAME alone is the full name. It is the last
# name next to FIRST_NAME (German: "Vorname" and "Name"), and the first name next to LAST_NAME (Italian: "Nome" and
# "Cognome").
FIRST_NAME, NAME, LAST_NAME = "first_name", "name", "last_name"

# Longer labels are cut, which bounds the work of NFKD. The longest spelling below has half of it.
MAX_LENGTH = 80

# Besides the names of the fields themselves.
SPELLINGS = {
    "full_name": """
        your name, your full name, contact name, customer name, client name, lead name, person name,
        invitee name, attendee name, respondent name, submitter name, name first last,
        what is your name, what's your name, what is your full name, what's your full name,
        wie heißt du, wie heißen sie, wie ist dein name, wie ist ihr name, wie lautet ihr name,
        quel est votre nom, comment vous appelez-vous, cuál es tu nombre, cómo te llamas, qual é o seu nome,
        come ti chiami, qual è il tuo nome, hoe heet je, wat is je naam, jak się nazywasz,
        vollständiger name, ihr name, dein name, name und vorname, vor- und nachname,
        nom complet, votre nom, nom et prénom, prénom et nom, nombre completo, su nombre, tu nombre, nombre y apellidos,
        nome completo, seu nome, il tuo nome, nome e cognome, volledige naam, uw naam, je naam, imię i nazwisko
    """,
    FIRST_NAME: """
        first name, f name, given name, forename, your first name, name first, contact first name, invitee first name,
        vorname, ihr vorname, prénom, votre prénom,
        primer nombre, primeiro nome, voornaam, imię
    """,
    NAME: "name, nom, nombre, nome, naam",
    LAST_NAME: """
        last name, l name, surname, family name, your last name, name last, contact last name, invitee last name,
        nachname, ihr nachname, familienname,
        nom de famille, apellido, apellidos, sobrenome, apelido, cognome, achternaam, nazwisko
    """,
    "email": """
        email address, your email, your email address, email id, mail, mail address, contact email, user email,
        work email, business email, company email, personal email, primary email, email 1, email 1 value, person email,
        customer email, client email, lead email, invitee email, attendee email, respondent email,
        what is your email, what's your email, what is your email address, what's your email address,
        e-mail-adresse, mailadresse, ihre e-mail, ihre e-mail-adresse, deine e-mail, deine e-mail-adresse,
        courriel, adresse e-mail, adresse mail, adresse électronique, votre e-mail, votre adresse e-mail,
        correo, correo electrónico, dirección de correo electrónico, su correo, tu correo, su email, tu email,
        endereço de e-mail, correio eletrônico, correio eletrónico, seu e-mail,
        indirizzo e-mail, indirizzo email, posta elettronica, la tua email,
        e-mailadres, mailadres, uw e-mailadres, je e-mailadres, adres e-mail, adres email, twój e-mail
    """,
    "company": """
        company name, your company, company / account, account name, organization, organisation,
        organization name, organisation name, business name, associated company, contact company,
        firma, firmenname, unternehmen, ihre firma, ihr unternehmen, entreprise, société, nom de l'entreprise,
        empresa, nombre de la empresa, compañía, nome da empresa, azienda, società, ragione sociale,
        bedrijf, bedrijfsnaam, nazwa firmy
    """,
    "message": """
        your message, comment, comments, your comment, your comments, comment or message, enquiry, inquiry,
        your enquiry,
        your inquiry, nachricht, ihre nachricht, deine nachricht, kommentar, anfrage, ihre anfrage,
        votre message, commentaire, commentaires, mensaje, su mensaje, tu mensaje, comentario, comentarios,
        mensagem, sua mensagem, comentário, messaggio, il tuo messaggio, commento,
        bericht, uw bericht, je bericht, opmerking, opmerkingen, wiadomość, treść wiadomości, twoja wiadomość
    """,
    "source": "lead source, quelle, fuente, origem, fonte, bron, źródło",
}
# Only files may set the status and the times of a lead; forms may not.
COLUMN_SPELLINGS = {
    "status": "lead status, contact status",
    "created_at": """
        created, created time, created date, created on, create date, creation date, date created,
        date added, added at, added time, profile created on, submitted at, submitted on, submitted, submit date,
        submit time, submission date, submission time, date submitted, lead submit time, lead created time, entry date,
        timestamp
    """,
    "updated_at": """
        updated, updated time, updated on, update date, date updated, modified at, modified time,
        modified date, date modified, last modified, last modified date, last updated
    """,
}


def field_of(label: str) -> str | None:
    """The field of a lead, or the part of a name, that a label denotes; None for an unknown label.

    Case, accents, spaces and punctuation are ignored. Of `contact[email]` only `email` counts, and of
    `Email (required)` what is before the brackets, unless all of it is known.
    """
    text = label[:MAX_LENGTH].removesuffix("[]")
    if text.endswith("]"):
        text = text[:-1].rpartition("[")[2]
    return _find(text, _fields)


def field_of_column(label: str) -> str | None:
    """Like `field_of`, with the additional fields of files."""
    return _find(label[:MAX_LENGTH], _columns) or field_of(label)


def _find(label: str, fields: Mapping[str, str]) -> str | None:
    return fields.get(normalize_label(label)) or fields.get(normalize_label(_note.sub("", label)))


def normalize_label(label: str) -> str:
    """The letters and digits of a label, without case and accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", label.casefold())))


def _by_spelling(spellings: dict[str, str]) -> dict[str, str]:
    return {normalize_label(text): field for field, texts in spellings.items() for text in texts.split(",")}


# A note in brackets at the end of a label.
_note = re.compile(r"\([^()]*\)\W*\Z")
_fields = {normalize_label(name): name for name in SENT if name != "attributes"} | _by_spelling(SPELLINGS)
_columns = {normalize_label(name): name for name in IMPORTED} | _by_spelling(COLUMN_SPELLINGS)
